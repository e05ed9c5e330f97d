import type { JSX } from 'preact';
import { showSpan, tableOf, type Loaded } from '../data.ts';
import type { Selection } from '../engine/query.ts';
import { count, deviceName, duration } from '../format.ts';
import { useView } from '../state.ts';

function Table({
  head,
  rows,
  id,
}: {
  head: readonly string[];
  rows: readonly (readonly string[])[];
  id: string;
}): JSX.Element {
  return (
    <div class="table-scroll">
      <table class="figures" id={id}>
        <thead>
          <tr>
            {head.map((text, k) => (
              <th scope="col" key={k} class={k > 0 ? 'n' : ''}>
                {text}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={row[0]}>
              {row.map((text, k) => (
                <td key={k} class={`${k > 0 ? 'n' : ''} ${text.startsWith('≤') ? 'late' : ''}`}>
                  {text}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

const bound = (ns: number): string => (Number.isNaN(ns) ? 'not seen' : `≤ ${duration(ns)}`);

/** What is particular to interrupts, to requests, to accesses: coalescing, queues with Little's law, vCPUs. */
export function FamilyTables({
  loaded,
  selection,
}: {
  loaded: Loaded;
  selection: Selection;
}): JSX.Element | null {
  const { family } = useView('family');
  const name = (device: number): string => deviceName(loaded.data, device);
  const sampled = (tableOf(loaded.data, family)?.weight ?? 1) > 1;
  if (family === 'mmio') {
    if (selection.vcpus.length < 2) return null;
    return (
      <section class="panel" aria-label="vCPUs">
        <h2>vCPUs</h2>
        <Table
          id="vcpu-table"
          head={['vCPU', 'n', 'p50', 'p99', 'max']}
          rows={selection.vcpus.map((v) => [
            `v${v.vcpu}`,
            count(v.count),
            duration(v.p50),
            duration(v.p99),
            duration(v.max),
          ])}
        />
      </section>
    );
  }
  if (family === 'request') {
    return (
      <section class="panel" aria-label="Queues">
        <h2>
          Queues <span class="small">in flight: popped and not yet used</span>
        </h2>
        <Table
          id="queue-table"
          head={[
            'Queue',
            'n',
            'a notify',
            'an interrupt',
            'most in flight',
            'mean in flight',
            'rate × time in flight',
          ]}
          rows={selection.queues.map((q) => {
            const little = (q.rate * q.inFlight) / 1e9;
            const off = Math.abs(little / q.meanDepth - 1) > 0.1;
            return [
              `${name(q.device)} queue ${q.queue}`,
              count(q.count),
              q.notifies === 0 ? '–' : (q.notified / q.notifies).toFixed(2),
              q.interrupts === 0 ? '–' : (q.announced / q.interrupts).toFixed(2),
              count(q.maxDepth),
              q.meanDepth.toFixed(3),
              `${q.rate.toFixed(1)}/s × ${duration(q.inFlight)} = ${little.toFixed(3)}${off ? ' ⚠' : ''}`,
            ];
          })}
        />
        <p class="hint">
          Little’s law: the two last columns agree unless requests were lost or paired wrongly (⚠: off by more
          than 10 %).{sampled && ' This page holds a sample: depths are too low.'}{' '}
          <button
            type="button"
            class="link"
            onClick={() => {
              showSpan(selection.outliers[0]?.row, true);
            }}
          >
            Draw what is chosen, request by request
          </button>
        </p>
      </section>
    );
  }
  return (
    <section class="panel" aria-label="Lines">
      <h2>
        Lines <span class="small">coalescing, and how often the line is raised</span>
      </h2>
      <Table
        id="line-table"
        head={[
          'Line',
          'n',
          'raises',
          'raises each',
          'pending again',
          'interval p50',
          'p99',
          'retired p50',
          'p99',
        ]}
        rows={selection.lines.map((l) => [
          `${name(l.device)} SPI ${l.spi}`,
          count(l.count),
          count(l.raises),
          (l.raises / l.count).toFixed(2),
          count(l.again),
          duration(l.gap50),
          duration(l.gap99),
          bound(l.end50),
          bound(l.end99),
        ])}
      />
      <p class="hint">
        ≤: an interrupt’s end is only seen when the vCPU next leaves the guest, so these are upper bounds.
        Pending again: raises while the one before was not handled yet. Interval: from one interrupt’s raise
        to the next one’s.
      </p>
    </section>
  );
}

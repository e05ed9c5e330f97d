import { K } from '../../trace/events.ts';
import type { SqlFacts } from './facts.ts';
import type { Params } from './params.ts';
import { refuseIf } from './params.ts';
import { sourceRows } from './source-rows.ts';

/** Raises of the devices' lines: device, row, t, kernel (by an irqfd). */
export function raises(p: Params, facts: SqlFacts): string | undefined {
  const { dom0, hooks, domid } = facts;
  if (dom0 === null) return undefined;
  const spis = p.uints(
    'spis',
    facts.devices.map(({ spi }) => spi),
  );
  const calls = `kind IN (${K.DOM0_SET_IRQ_LEVEL}, ${K.DOM0_IRQFD})${domid === null ? '' : ` AND domid = ${p.uint('domid', domid)}`}`;
  const wanted = hooks.raise ? calls : `((${calls}) OR kind = ${K.DM_SET_IRQ})`;
  // The server is free to test this before the conditions on the rows: it must hold for itself.
  const told = hooks.raise
    ? '1'
    : refuseIf(
        `kind = ${K.DM_SET_IRQ} AND arg1 = 1 AND arg0 = 0`,
        'raises of lines that only the device model tells of',
      );
  return `SELECT toUInt16(place - 1) AS device, row, t, kind = ${K.DOM0_IRQFD} AS kernel
    FROM (
      SELECT *, if(arg0 < 1024, indexOf(${spis}, toUInt64(arg0)), 0) AS place
      FROM (${sourceRows(p, 'dom0', dom0, 'arg0, arg1')} AND arg1 = 1 AND ${wanted})
      WHERE ${told}
    ) WHERE place > 0`;
}

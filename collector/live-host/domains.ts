import { TraceError } from '../../trace/errors.ts';
import type { DomainView } from '../probes/host-view.ts';
import type { Store } from './xenstore.ts';

/** A domain of the host; `state` as `xl list` shows it, '' if xl does not tell. */
export interface DomainEntry extends DomainView {
  state: string;
}

/** No line of `xl list` is longer, whatever a domain is called. */
const LONGEST_LINE = 4096;
/** Lines of `xl list` after its title: Name ID Mem VCPUs State Time(s). */
const LIST_LINE = /^(.*?)\s+(\d{1,5})\s+\d+\s+(\d{1,5})\s+([a-z-]{6})\s+[\d.]+\s*$/;
/** xen/include/public/xen.h, DOMID_FIRST_RESERVED. */
const FIRST_RESERVED = 0x7ff0;

/**
 * The host's domains by number, Dom0 included. Names from `xl list -l` (JSON: nothing in a name can make a second
 * domain of it) or xenstore; numbers of vCPUs and states from `xl list`, which knows every domain.
 */
export function parseDomains(
  list: string | undefined,
  json: string | undefined,
  store: Store,
): DomainEntry[] {
  const domains = new Map<number, DomainEntry>();
  const entry = (domid: number): DomainEntry => {
    const made = domains.get(domid) ?? { domid, name: '', vcpus: 0, state: '' };
    domains.set(domid, made);
    return made;
  };
  for (const line of (list ?? '').split('\n')) {
    const [, name = '', id, vcpus, state = ''] =
      (line.length > LONGEST_LINE ? null : LIST_LINE.exec(line)) ?? [];
    if (id === undefined || Number(id) >= FIRST_RESERVED) continue;
    Object.assign(entry(Number(id)), { name, vcpus: Number(vcpus), state });
  }
  for (const { domid, name, vcpus } of jsonDomains(json)) {
    const made = entry(domid);
    if (name !== undefined) made.name = name;
    if (made.vcpus === 0) made.vcpus = vcpus ?? 0;
  }
  for (const [path, value] of store) {
    const [, id, key = ''] = /^\/local\/domain\/(\d{1,5})(?:\/(name|cpu\/\d{1,3}))?$/.exec(path) ?? [];
    if (id === undefined || Number(id) >= FIRST_RESERVED) continue;
    // With xl's own list at hand a folder that nobody removed makes no domain.
    if (list !== undefined && !domains.has(Number(id))) continue;
    const made = entry(Number(id));
    if (key === 'name') made.name = value;
    if (key.startsWith('cpu/') && made.state === '')
      made.vcpus = Math.max(made.vcpus, Number(key.slice(4)) + 1);
  }
  return [...domains.values()].sort((a, b) => a.domid - b.domid);
}

interface JsonDomain {
  domid?: unknown;
  config?: { c_info?: { name?: unknown }; b_info?: { max_vcpus?: unknown } };
}

function jsonDomains(text: string | undefined): { domid: number; name?: string; vcpus?: number }[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text ?? '[]');
  } catch {
    return [];
  }
  const domains: { domid: number; name?: string; vcpus?: number }[] = [];
  for (const item of Array.isArray(parsed) ? (parsed as (JsonDomain | null)[]) : []) {
    const domid = item?.domid;
    if (typeof domid !== 'number' || !Number.isInteger(domid) || domid < 0 || domid >= FIRST_RESERVED)
      continue;
    const name = item?.config?.c_info?.name;
    const vcpus = item?.config?.b_info?.max_vcpus;
    domains.push({
      domid,
      ...(typeof name === 'string' ? { name } : {}),
      ...(typeof vcpus === 'number' && Number.isInteger(vcpus) && vcpus > 0 ? { vcpus } : {}),
    });
  }
  return domains;
}

/**
 * The domain that the user means: by number, else by name.
 *
 * @throws TraceError E_NO_DOMAIN with the domains that there are
 */
export function pickDomain(domains: readonly DomainEntry[], wanted: string): DomainEntry {
  const guests = domains.filter(({ domid }) => domid !== 0);
  const byNumber = /^\d+$/.test(wanted) ? domains.find(({ domid }) => domid === Number(wanted)) : undefined;
  const byName = domains.filter(({ name }) => name === wanted);
  const found = byNumber ?? byName[0];
  const there =
    guests.length === 0
      ? 'no guest runs'
      : `there are ${guests.map(({ domid, name }) => `${domid}${name === '' ? '' : ` (${JSON.stringify(name)})`}`).join(', ')}`;
  if (found === undefined) {
    throw new TraceError('E_NO_DOMAIN', `the host has no domain ${JSON.stringify(wanted)}; ${there}`);
  }
  if (byNumber === undefined && byName.length > 1) {
    const ids = byName.map(({ domid }) => domid).join(', ');
    throw new TraceError(
      'E_NO_DOMAIN',
      `several domains are named ${JSON.stringify(wanted)}: give a number of ${ids}`,
    );
  }
  if (found.domid === 0) {
    throw new TraceError('E_NO_DOMAIN', `domain 0 is the one that serves the others, not a guest; ${there}`);
  }
  if (found.state.includes('d'))
    throw new TraceError('E_NO_DOMAIN', `domain ${found.domid} is dying; ${there}`);
  return found;
}

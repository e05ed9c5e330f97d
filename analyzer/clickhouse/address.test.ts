import { describe, expect, it } from 'vitest';
import { isTraceError } from '../../trace/errors.ts';
import { parseAddress } from './address.ts';

function failure(url: string): string {
  try {
    parseAddress(url, {});
  } catch (error) {
    if (isTraceError(error)) return `${error.code} ${error.message}`;
    throw error;
  }
  return 'none';
}

describe('parseAddress', () => {
  it('takes scheme, hosts, database, what follows, and credentials from the URL or the environment', () => {
    const env = { IOREQ_TRACE_CLICKHOUSE_USER: 'eve', IOREQ_TRACE_CLICKHOUSE_PASSWORD: 'secret' };
    expect(parseAddress('clickhouse://db.example', env)).toMatchObject({
      place: 'clickhouse://db.example/ioreq_trace',
      urls: ['http://db.example:8123'],
      user: 'eve',
      password: 'secret',
      rest: [],
    });
    expect(parseAddress('clickhouses://a:b%3Ac@h1:1,[::1]:2,h3/farm/0123456789abcdef', env)).toMatchObject({
      place: 'clickhouses://h1:1,[::1]:2,h3/farm',
      urls: ['https://h1:1', 'https://[::1]:2', 'https://h3:8443'],
      database: 'farm',
      user: 'a',
      password: 'b:c',
      rest: ['0123456789abcdef'],
    });
    expect(parseAddress('http://bob@h', env)).toMatchObject({ user: 'bob', password: 'secret' });
  });

  it.each([
    'clickhouse://u:s3cret@h:99999/db',
    'clickhouse://u:s3cret@h ost/db',
    'clickhouse://u:s3cret@',
    'ftp://u:s3cret@h/db',
    'clickhouse://u:s3cret@h/a%20b',
    'clickhouse://u:s3cret%zz@h/db',
    'clickhouse://u:s3cret@h/db?ca=/tmp/x',
    'clickhouses://u:s3cret@h/db?verify=no',
  ])('refuses %s without showing the password', (url) => {
    expect(failure(url)).toMatch(/^E_USAGE /);
    expect(failure(url)).not.toMatch(/s3cret/);
  });

  it('reads certificates, and says which file it cannot read', () => {
    expect(failure('clickhouses://h/db?ca=/nowhere/ca.pem')).toBe(
      'E_UNREADABLE /nowhere/ca.pem: cannot be read (ENOENT)',
    );
  });
});

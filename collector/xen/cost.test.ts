import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, it } from 'vitest';

const SCRIPT = join(import.meta.dirname, 'cost.sh');
const dir = mkdtempSync(join(tmpdir(), 'xen-cost-'));
afterAll(() => {
  rmSync(dir, { recursive: true });
});

function put(path: string, text: string): void {
  mkdirSync(dirname(join(dir, path)), { recursive: true });
  writeFileSync(join(dir, path), text);
}

// Objects of Arm need a disassembler of Arm: here they are what it would print.
put('objdump', '#!/bin/sh\nexec cat "$3"\n');
chmodSync(join(dir, 'objdump'), 0o755);

function costOf(before: string, after: string): string {
  for (const [build, text] of [
    ['before', before],
    ['after/xen', after],
  ] as const) {
    put(`${build}/arch/arm/traps.o`, text);
    for (const other of ['arch/arm/vgic.o', 'arch/arm/gic-vgic.o', 'common/ioreq.o'])
      put(`${build}/${other}`, '');
  }
  return execFileSync('bash', [SCRIPT, join(dir, 'before'), join(dir, 'after')], {
    encoding: 'utf8',
    env: { ...process.env, CROSS_COMPILE: `${dir}/` },
  });
}

it('counts what is executed without a record, and leaves the way to trace() out', () => {
  const before = `
0000000000000000 <send>:
   0:\tmov\tx1, x0
   4:\tstr\tx1, [x2]
   8:\tret
`;
  // A load, a test; out of line a choice between two values, the call, and the way back.
  const after = `
0000000000000000 <send>:
   0:\tmov\tx1, x0
   4:\tadrp\tx3, 0 <tb_init_done>
\t\t\t4: R_AARCH64_ADR_PREL_PG_HI21\ttb_init_done
   8:\tldrb\tw3, [x3]
\t\t\t8: R_AARCH64_LDST8_ABS_LO12_NC\ttb_init_done
   c:\tcbnz\tw3, 18 <send+0x18>
  10:\tstr\tx1, [x2]
  14:\tret
  18:\tcbz\tw4, 24 <send+0x24>
  1c:\tmov\tw0, #0x1
  20:\tb\t28 <send+0x28>
  24:\tmov\tw0, #0x2
  28:\tbl\t0 <trace>
\t\t\t28: R_AARCH64_CALL26\ttrace
  2c:\tb\t10 <send+0x10>
0000000000000030 <other>:
  30:\tret
`;
  expect(costOf(before, after)).toMatchInlineSnapshot(`
    "function                          without     with   more  tests  record only
    send                                    3        6      3      1            6
    "
  `);
});

it('says how it is used', () => {
  const { status, stderr } = spawnSync('bash', [SCRIPT, dir], { encoding: 'utf8' });
  expect(status).toBe(2);
  expect(stderr).toContain('cost.sh WITHOUT WITH');
});

#!/bin/bash
# What the trace points cost while tracing is off: for every function that has one, the instructions of Xen built
# without and with the series, less those that are executed only if a record is written.
#
#   cost.sh WITHOUT WITH
#
# WITHOUT, WITH: folders of two arm64 builds of the same Xen with the same .config (xen/ of the source tree, or what
# was given as O=). CROSS_COMPILE as for Xen's build; only objdump is used.
#
# An instruction is counted as "record only" if every way on from it calls trace(), or every way to it does. A test
# is a conditional branch to such instructions: what a trace point costs while tracing is off is the load and the
# test before it, and whatever else the compiler adds to the rest of the function (column "more").
set -euo pipefail
[ $# = 2 ] || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
objdump=${CROSS_COMPILE-aarch64-linux-gnu-}objdump
objects='arch/arm/traps.o arch/arm/vgic.o arch/arm/gic-vgic.o common/ioreq.o'
records='trace|__trace_var|trace_s2_resume|trace_virq_inject|trace_virq_active'

# Lines "function instructions record-only tests" of an object.
count() {
  "$objdump" -dr --no-show-raw-insn "$1" | awk -v records="^(${records})\$" '
    function flush(  i, k, changed, all, more, dead, tests, ways, others) {
      if (n == 0) return
      for (changed = 1; changed; ) {
        changed = 0
        # Backwards, as most ways lead forward: few rounds.
        for (i = n - 1; i >= 0; i--) {
          if (only[i] || stop[i]) continue
          more = i + 1 < n && only[i + 1]
          if (target[i] == "") all = more
          else {
            k = (target[i] in at) ? only[at[target[i]]] : 0
            all = jump[i] ? k : k && more
          }
          if (all) { only[i] = 1; changed = 1 }
        }
      }
      # Forwards: what comes after a call of trace(), as long as no other way leads there.
      for (changed = 1; changed; ) {
        changed = 0
        for (i = 0; i < n; i++) { ways[i] = 0; others[i] = only[i] }
        for (i = 0; i < n; i++) {
          if (!jump[i] && !stop[i] && i + 1 < n) { ways[i + 1]++; if (!only[i]) others[i + 1] = -1 }
          if (target[i] in at) { k = at[target[i]]; ways[k]++; if (!only[i]) others[k] = -1 }
        }
        for (i = 1; i < n; i++)
          if (!only[i] && ways[i] > 0 && others[i] == 0) { only[i] = 1; changed = 1 }
      }
      for (i = 0; i < n; i++) {
        dead += only[i]
        if (target[i] != "" && !jump[i] && !only[i])
          tests += ((target[i] in at) && only[at[target[i]]]) + (i + 1 < n && only[i + 1])
      }
      print name, n, dead + 0, tests + 0
    }
    /^[0-9a-f]+ <.*>:$/ {
      flush()
      name = $2; gsub(/[<>:]/, "", name); sub(/\.(isra|part|constprop|cold).*/, "", name)
      n = 0
      delete at; delete only; delete target; delete jump; delete stop
      next
    }
    # The reloc of the instruction above: what it calls or jumps to.
    /R_AARCH64_(CALL26|JUMP26)/ { if ($3 ~ records) { only[n - 1] = 1; stop[n - 1] = 0 }; next }
    /^ +[0-9a-f]+:\t/ {
      split($0, field, "\t"); addr = field[1]; gsub(/[ :]/, "", addr)
      at[addr] = n; only[n] = 0; jump[n] = 0; target[n] = ""; stop[n] = 0
      op = field[2]; sub(/ .*/, "", op)
      if (op ~ /^(b|b\..*|cbn?z|tbn?z)$/ && match($0, /[0-9a-f]+ <[^>]*>/)) {
        target[n] = substr($0, RSTART, RLENGTH); sub(/ .*/, "", target[n]); jump[n] = op == "b"
      }
      # A call or tail call within the object file needs no reloc.
      if ((op == "bl" || op == "b") && match($0, /<[^>+]*>/) && substr($0, RSTART + 1, RLENGTH - 2) ~ records) only[n] = 1
      if (op ~ /^(ret|br|eret)$/) stop[n] = 1
      n++
    }
    END { flush() }'
}

folder() { if [ -e "$1/arch/arm/traps.o" ]; then echo "$1"; else echo "$1/xen"; fi; }
without=$(folder "$1") with=$(folder "$2")
printf '%-32s %8s %8s %6s %6s %12s\n' function without with more tests 'record only'
for object in $objects; do
  awk '
    # Compilers may split a function: its parts are added up.
    NR == FNR { before[$1] += $2; next }
    { n[$1] += $2; only[$1] += $3; tests[$1] += $4; if (!($1 in order)) { order[$1] = ++m; at[m] = $1 } }
    END {
      for (i = 1; i <= m; i++) {
        f = at[i]
        if (only[f] == 0 || f ~ /^trace_/) continue
        printf "%-32s %8s %8d %6s %6d %12d\n", f, (f in before) ? before[f] : "-", n[f] - only[f],
          (f in before) ? n[f] - only[f] - before[f] : "-", tests[f], only[f]
      }
    }' <(count "$without/$object") <(count "$with/$object")
done

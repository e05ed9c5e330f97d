import type { Plugin } from 'vite';

/**
 * A build step that leaves out of one file of a package what the page never does: the bodies of functions named
 * here become what they are mapped to, and conditions what they always are; what only those used falls away with them.
 * The package's version is pinned; the build ends with an error when a later one has no such function or condition.
 */
export function trimPackage(
  file: string,
  bodies: Readonly<Record<string, string>>,
  conditions: readonly (readonly [RegExp, string])[],
): Plugin {
  return {
    name: 'ioreq-trace:trim-package',
    transform(code, id) {
      if (!id.replaceAll('\\', '/').endsWith(file)) return null;
      const cuts: [number, number, string][] = [];
      const missing = new Set(Object.keys(bodies));
      walk(this.parse(code), (node) => {
        const body = node.type === 'FunctionDeclaration' ? bodies[node.id?.name ?? ''] : undefined;
        if (body === undefined || node.body === undefined) return true;
        missing.delete(node.id!.name);
        cuts.push([node.body.start, node.body.end, `{${body}}`]);
        return false;
      });
      if (missing.size > 0) throw new Error(`${file} has no function ${[...missing].join(', ')}`);
      let out = code;
      for (const [from, to, body] of cuts.sort((a, b) => b[0] - a[0]))
        out = out.slice(0, from) + body + out.slice(to);
      for (const [what, value] of conditions) {
        if (!what.test(out)) throw new Error(`${file} has no ${what.source}`);
        out = out.replaceAll(new RegExp(what, 'g'), value);
      }
      return { code: out, map: null };
    },
  };
}

interface Node {
  type: string;
  start: number;
  end: number;
  id?: { name: string } | null;
  body?: Node;
}

/** Visits every node of a syntax tree; `enter` says whether to go into it. */
function walk(value: unknown, enter: (node: Node) => boolean): void {
  if (Array.isArray(value)) {
    for (const item of value) walk(item, enter);
  } else if (typeof value === 'object' && value !== null) {
    if ('type' in value && !enter(value as unknown as Node)) return;
    for (const item of Object.values(value)) walk(item, enter);
  }
}

/**
 * Of uPlot the page uses lines, logarithmic scales and axes whose ticks it makes itself; pointer events it takes before
 * uPlot does. Not: calendar time, bars, splines, steps, points, bands, the legend, the cursor, focus, charts in step,
 * series added later.
 */
const UNUSED =
  'tzDate timeAxisStamps timeAxisVals timeAxisVal timeSeriesVal bars stepped monotoneCubic splineInterp clipBandLine ' +
  'addSeries delSeries addBand delBand setBand setFocus setSeries toggleDOM setLegend setLegendValues syncLegend ' +
  'updateCursor mouseMove mouseDown mouseUp mouseLeave dblClick cacheMouse hideSelect initCursorPt pubSync ' +
  'logAxisSplits numAxisSplits asinhAxisSplits numAxisVals log2AxisValsFilt rangeLog rangeAsinh rangeNum _rangeNum ' +
  'join log10AxisValsFilt snapAsinhY snapLogY snapNumX guessDec posToVal closestIdxFromXpos syncRect setSelect ' +
  'cursorPointShow cursorPointFill cursorPointStroke cursorPointSize numSeriesVal legendStroke legendFill ' +
  'autoPadSide pub syncFontSize syncPxRatio';

export const UPLOT_UNUSED: Readonly<Record<string, string>> = {
  ...Object.fromEntries(UNUSED.split(' ').map((name) => [name, ''])),
  bandFillClipDirs: 'return [0]',
  fmtDate: 'return () => ""',
  genTimeStuffs: 'return [0, 0, () => 0]',
  fillStroke:
    'strokeFill(strokeStyle, lineWidth, lineDash, lineCap, fillStyle, strokePath, fillPath, flags, boundsClip, gapsClip)',
  findIncr: 'return [1, 50]',
  genIncrs: 'return []',
  snapNumY: 'return [0, 1]',
  _sync: 'return { sub() {}, unsub() {} }',
  initLegendRow: 'return []',
  points: 'return () => null',
};

/**
 * Series have one x axis in common, which is horizontal; scales are linear or logarithmic, have a range of their own
 * and are not made of others; no axis is one of calendar time; nothing is selected, no plugin is used.
 */
export const UPLOT_CONSTANT: readonly (readonly [RegExp, string])[] = [
  [/\bmode == 2\b/, 'false'],
  [/\bmode == 1\b/, 'true'],
  [/\b(\w+\.)?distr == (2|4|100)\b/, 'false'],
  [/\blegend\.live\b/, 'false'],
  [/\blegend\.show\b/, 'false'],
  [/=\s+cursor\.show\b/, '= false'],
  [/=\s+focus\.prox >= 0/, '= false'],
  [/\blet isTime = .*;/, 'const isTime = false;'],
  [/\baxis\.label != null/, 'false'],
  [/\bborder\.show\b/, 'false'],
  [/\bif \(angle\)/, 'if (false)'],
  [/\blet shouldAlpha = .*;/, 'const shouldAlpha = false;'],
  [/\blet show = s\.points\.show.*;/, 'const show = false;'],
  [/\blet idxs = s\.points\.filter.*;/, 'const idxs = null;'],
  [/\bif \(opts\.title\b.*\)/, 'if (false)'],
  [/'12px system-ui.*'/, "'12px system-ui'"],
  [/\bcursor\.dataIdx == null\b/, 'false'],
  [/\|\| bandClip\)/, ')'],
  [/\bif \(bandClip\)/, 'if (false)'],
  [/\bif \(bandClipDir != 0\)/, 'if (false)'],
  [/\bxScaleDistr == [24]\b/, 'false'],
  [/\b\w*[sS]c(aleOpts)?\.from != null\b/, 'false'],
  [/\b\w*sc\.from == null\b/, 'true'],
  [/\b_points \?/, 'false ?'],
  [/\bif \(_points\)/, 'if (false)'],
  [/\b_points && fillStyle == null/, 'false'],
  [/!_points\b/, 'true'],
  [/\b(stroke|fill)Path instanceof Map\b/, 'false'],
  [/\bisArr\(axis\.incrs\)/, 'false'],
  [/\brangeIsArr && \(rn\[0\] == null \|\| rn\[1\] == null\)/, 'false'],
  [/!rangeIsArr && isObj\(rn\)/, 'false'],
  [/\bscaleX\.ori == 0\b/, 'true'],
  [/\bscaleX\.time\b/, 'false'],
  [/\bselect\.show\b/, 'false'],
  [/\bsyncOpts\.match\.length == 2\b/, 'false'],
  [/\baxis\.filter \|\| .*\);/, 'axis.filter);'],
  [/\baxis\.splits \|\| .*\);/, 'axis.splits);'],
];

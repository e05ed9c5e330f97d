import { minify } from 'terser';

/**
 * A second minifier behind Vite's, for scripts that stand in a page: 1.3 of 66 kB less once gzipped. Never with
 * `unsafe_comps`: it takes !(a < b) for a >= b, and what was not seen is NaN here.
 */
export async function smaller(script: string): Promise<string> {
  const { code } = await minify(script, {
    module: true,
    ecma: 2020,
    compress: {
      passes: 4,
      pure_getters: true,
      unsafe_arrows: true,
      unsafe_methods: true,
    },
  });
  if (code === undefined || code.includes('</script')) throw new Error('the minifier gave no script');
  return code.replace(/;$/, '');
}

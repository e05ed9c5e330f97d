/** Not in TypeScript's library yet; not in browsers before 2025 either, hence the fallback. */
interface FromBase64 {
  fromBase64?: (text: string) => Uint8Array<ArrayBuffer>;
}

/** gzip in base64 to bytes. */
export const unpack = (text: string): Promise<Uint8Array> => inflate(fromBase64(text.trim()));

export async function inflate(packed: Uint8Array): Promise<Uint8Array> {
  const stream = new Blob([packed as Uint8Array<ArrayBuffer>])
    .stream()
    .pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const direct = (Uint8Array as FromBase64).fromBase64;
  if (direct !== undefined) return direct.call(Uint8Array, text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

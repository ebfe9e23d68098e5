// A large file, made in the browser so that it costs no disk: the headers of a
// small one, and as much behind them as is wanted.

/** Drops a file of `len` bytes; a marker stands a hundred bytes before its end. */
export default async function large(page, len) {
  await page.evaluate(async (len) => {
    const sample = await (await fetch('samples/hello-long64.igvm')).blob();
    const filler = new Uint8Array(1 << 20).fill(0x5a);
    const parts = [sample];
    let left = len - sample.size - 100;
    while (left > 0) {
      const part = new Blob([filler.subarray(0, Math.min(left, filler.length))]);
      parts.push(part);
      left -= part.size;
    }
    parts.push(new Uint8Array([0xfe, 0xed, 0xfa, 0xce, 0xca, 0xfe]), new Uint8Array(94));
    const transfer = new DataTransfer();
    transfer.items.add(new File(parts, 'large.igvm'));
    document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }, len);
  return len;
}

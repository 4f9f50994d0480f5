/** Text as XML takes it, for the answers of the query protocols. */
const ENTITIES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&apos;' };

/** XML 1.0 cannot hold most control characters, not even escaped; one would make the whole answer unreadable. */
export function escapeXml(text: string): string {
  let clean = '';
  for (const char of text) {
    const code = char.codePointAt(0) ?? 0;
    if (code < 32 && code !== 9 && code !== 10 && code !== 13) clean += '\uFFFD';
    else clean += ENTITIES[char] ?? char;
  }
  return clean;
}

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

/** EC2's form of an error, which differs from the other Query services' (facts/redis-aws 5.2). */
export function ec2FaultBody(code: string, message: string, requestId: string): string {
  return (
    `<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>${escapeXml(code)}</Code>` +
    `<Message>${escapeXml(message)}</Message></Error></Errors><RequestID>${requestId}</RequestID></Response>`
  );
}

/** Fields of the first paragraph (deb822(5)), by name in lower case; lines that go on are joined. */
export function controlFields(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  let last: string | undefined;
  for (const line of text.split('\n')) {
    if (line.trim() === '' && fields.size > 0) break;
    const [, name, value = ''] = /^([!-9;-~]+):[ \t]*(.*)$/.exec(line) ?? [];
    if (name !== undefined && !/^[ \t]/.test(line)) {
      last = name.toLowerCase();
      fields.set(last, value.trimEnd());
    } else if (last !== undefined && /^[ \t]/.test(line)) {
      fields.set(last, `${fields.get(last) ?? ''}\n${line.slice(1).trimEnd()}`);
    }
  }
  return fields;
}

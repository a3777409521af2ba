/**
 * Compares two versions as dpkg does: negative where `a` is older.
 * @see https://www.debian.org/doc/debian-policy/ch-controlfields.html#version
 */
export function compareDebian(a: string, b: string): number {
  const [left, right] = [split(a), split(b)];
  return (
    left.epoch - right.epoch ||
    compareText(left.upstream, right.upstream) ||
    compareText(left.revision, right.revision)
  );
}

function split(version: string): { epoch: number; upstream: string; revision: string } {
  const colon = version.indexOf(':');
  const rest = version.slice(colon + 1);
  const dash = rest.lastIndexOf('-');
  return {
    epoch: colon < 0 ? 0 : Number(version.slice(0, colon)),
    upstream: dash < 0 ? rest : rest.slice(0, dash),
    revision: dash < 0 ? '' : rest.slice(dash + 1),
  };
}

/** Words and numbers in turn: a tilde is before the end, the end before letters, letters before every other sign. */
function compareText(a: string, b: string): number {
  let [left, right] = [a, b];
  while (left !== '' || right !== '') {
    const [leftWord = ''] = /^[^0-9]*/.exec(left) ?? [];
    const [rightWord = ''] = /^[^0-9]*/.exec(right) ?? [];
    for (let at = 0; at < Math.max(leftWord.length, rightWord.length); at++) {
      const order = weight(leftWord[at]) - weight(rightWord[at]);
      if (order !== 0) return order;
    }
    [left, right] = [left.slice(leftWord.length), right.slice(rightWord.length)];
    const [leftNumber = ''] = /^[0-9]*/.exec(left) ?? [];
    const [rightNumber = ''] = /^[0-9]*/.exec(right) ?? [];
    const order = compareNumbers(leftNumber, rightNumber);
    if (order !== 0) return order;
    [left, right] = [left.slice(leftNumber.length), right.slice(rightNumber.length)];
  }
  return 0;
}

const weight = (sign: string | undefined): number => {
  if (sign === '~') return -1;
  if (sign === undefined) return 0;
  return /[A-Za-z]/.test(sign) ? sign.charCodeAt(0) : sign.charCodeAt(0) + 256;
};

/** Of any length: dates and hashes are longer than what a number holds. */
export function compareNumbers(a: string, b: string): number {
  const [left, right] = [a.replace(/^0+/, ''), b.replace(/^0+/, '')];
  return left.length - right.length || (left < right ? -1 : Number(left > right));
}

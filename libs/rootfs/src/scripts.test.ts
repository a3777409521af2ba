import { expect, test } from 'vitest';
import { onlyPrints } from './scripts.ts';

const script = (...lines: string[]): string => ['#!/bin/sh', ...lines, ''].join('\n');

test.each([
  ['nothing', script('', '# a remark', 'exit 0')],
  [
    'words',
    script('echo "* Read the manual: https://example.org/a" >&2', "echo 'plain $words'", 'echo -e "x"'),
  ],
  [
    'a document',
    script('cat >&2 <<-EOF', '\t*', "\t* If you want to use it, don't hesitate.", '\tEOF', 'exit 0'),
  ],
  ['a document in quotes', script("cat <<'END'", 'costs $5 `a`', 'END')],
  ['two documents', script('cat <<EOF', 'one', 'EOF', '', 'cat <<EOF', 'two', 'EOF')],
])('a script that prints %s does nothing to an image', (_what, text) => {
  expect(onlyPrints(text)).toBe(true);
});

test.each([
  ['a command', script('adduser web')],
  ['a command behind words', script('echo "a"; rm -rf /')],
  ['a command in words', script('echo "$(rm -rf /)"')],
  ['a command in plain words', script('echo `rm`')],
  ['words that go into a file', script('echo x > /etc/passwd')],
  ['words that go to a program', script('echo x | sh')],
  ['a document that goes into a file', script('cat >/etc/passwd <<EOF', 'root', 'EOF')],
  ['a document that goes to a program', script('cat <<EOF | sh', 'rm -rf /', 'EOF')],
  ['a command in a document', script('cat <<EOF', '$(rm -rf /)', 'EOF')],
  ['a command behind a document', script('cat <<EOF', 'x', 'EOF', 'rm -rf /')],
  ['a document without an end', script('cat <<EOF', 'x', ' EOF')],
  ['a command behind an end that is none', script('cat <<EOF', '\tEOF', 'EOF', 'rm -rf /')],
  ['a condition', script('[ -e /x ] || echo x')],
  ['another language', '#!/usr/bin/python\nprint(1)\n'],
  ['no interpreter', 'echo x\n'],
])('a script with %s is not taken for one that only prints', (_what, text) => {
  expect(onlyPrints(text)).toBe(false);
});

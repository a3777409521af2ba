import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ts from 'typescript';
import { expect, onTestFinished, test } from 'vitest';
import { bootHook } from './adb/hook.ts';

/** Which argument of these calls is a script for a device's shell. */
const takesScript: Readonly<Record<string, number>> = {
  sh: 0,
  start: 0,
  '#run': 0,
  '#change': 1,
  runScript: 1,
};

/** Every source of this library but tests and their stand-ins, parsed. */
const sources = readdirSync(import.meta.dirname, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts') && !file.startsWith('testing/'))
  .sort()
  .map((file) => {
    const text = readFileSync(join(import.meta.dirname, file), 'utf8');
    return ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  });

function visit(node: ts.Node, onNode: (node: ts.Node) => void): void {
  onNode(node);
  ts.forEachChild(node, (child) => visit(child, onNode));
}

/** The script that an expression spells, with a number where a value is put in; undefined where it is no text. */
function textOf(node: ts.Expression): string | undefined {
  if (ts.isStringLiteralLike(node)) return node.text;
  if (ts.isTemplateExpression(node)) {
    return node.head.text + node.templateSpans.map(({ literal }) => `1${literal.text}`).join('');
  }
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken) {
    const [left, right] = [textOf(node.left), textOf(node.right)];
    return left === undefined || right === undefined ? undefined : left + right;
  }
  return undefined;
}

const nameOf = (node: ts.Expression): string | undefined =>
  ts.isIdentifier(node)
    ? node.text
    : ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.name)
      ? node.name.text
      : ts.isPropertyAccessExpression(node) && ts.isPrivateIdentifier(node.name)
        ? node.name.text
        : undefined;

/** Text of the variables of this name in one source, or where it has none in all of them. */
function variables(name: string, source: ts.SourceFile): string[] {
  const inFile = (file: ts.SourceFile): string[] => {
    const found: string[] = [];
    visit(file, (node) => {
      if (!ts.isVariableDeclaration(node) || !ts.isIdentifier(node.name) || node.name.text !== name) return;
      const text = node.initializer === undefined ? undefined : textOf(node.initializer);
      if (text !== undefined) found.push(text);
    });
    return found;
  };
  const own = inFile(source);
  return own.length > 0 ? own : sources.flatMap(inFile);
}

/** Every script that is handed to a device's shell, by where it is; a name that leads to no text is in `lost`. */
function embedded(): { scripts: Map<string, string>; lost: string[] } {
  const scripts = new Map<string, string>([['bootHook', bootHook('/data/sovereign')]]);
  const seen = new Set<string>();
  const add = (where: string, text: string): void => {
    if (!seen.has(text)) scripts.set(where, text);
    seen.add(text);
  };
  const lost: string[] = [];
  for (const source of sources) {
    visit(source, (node) => {
      if (!ts.isCallExpression(node)) return;
      // A device's own `start` is that of a service.
      const ofDevice =
        ts.isPropertyAccessExpression(node.expression) &&
        source.fileName === 'device.ts' &&
        node.expression.expression.kind === ts.SyntaxKind.ThisKeyword;
      const at = ofDevice ? undefined : takesScript[nameOf(node.expression) ?? ''];
      const argument = at === undefined ? undefined : node.arguments[at];
      if (argument === undefined) return;
      const { line } = source.getLineAndCharacterOfPosition(node.getStart());
      const where = `${source.fileName.replaceAll('/', '-')}-${line + 1}`;
      const text = textOf(argument);
      if (text !== undefined) {
        add(where, text);
        return;
      }
      const name = nameOf(argument) ?? argument.getText();
      const texts = variables(name, source);
      texts.forEach((one, index) => add(`${name}-${source.fileName.replaceAll('/', '-')}-${index}`, one));
      if (texts.length === 0) lost.push(`${where}: ${name}`);
    });
  }
  return { scripts, lost };
}

test('scripts that are written into these sources are clean by shellcheck', { timeout: 60_000 }, () => {
  const { scripts, lost } = embedded();
  expect(lost).toEqual([]);
  // Some of each kind: one that is handed over as it is, by a variable here, by one of elsewhere, and composed ones.
  for (const name of [
    'adb-host.ts',
    'PUT',
    'LOCK',
    'LEAVE',
    'FOLLOW',
    'REPORT',
    'snapshotScript',
    'bootHook',
  ]) {
    expect([...scripts.keys()].join(' ')).toContain(name);
  }
  const folder = mkdtempSync(join(tmpdir(), 'sovereign-scripts-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  for (const [where, script] of scripts) writeFileSync(join(folder, `${where}.sh`), script);
  // `A && B || C` is meant as it is: whatever of it fails, what is half done is taken away.
  const args = ['--norc', '--shell', 'sh', '--exclude', 'SC2015', '--format', 'gcc', ...readdirSync(folder)];
  const { stdout, stderr, status } = spawnSync('shellcheck', args, { cwd: folder, encoding: 'utf8' });
  expect(`${stdout}${stderr}`).toBe('');
  expect(status).toBe(0);
});

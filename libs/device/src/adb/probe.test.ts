import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { capabilitiesOf } from '../testing/phone.ts';
import type { Capabilities } from './capabilities.ts';
import { fingerprint, parseProbe } from './probe.ts';
import { probeScript } from './probe-script.ts';
import { probes } from './probes.ts';

const recorded = (name: string): string =>
  readFileSync(join(import.meta.dirname, '..', 'testdata', `probe-${name}.txt`), 'utf8');
const phone = (name: string): Capabilities => parseProbe(recorded(name));
const asked = (capabilities: Capabilities, name: string) =>
  probes(capabilities).find((probe) => probe.name === name);
const missing = (capabilities: Capabilities) =>
  probes(capabilities).flatMap(({ name, ok }) => (ok ? [] : [name]));

describe('what a phone says is read', () => {
  test('of Android 13, whose crosvm has flat options only', () => {
    expect(phone('13')).toMatchObject({
      androidRelease: '13',
      sdk: 33,
      model: 'Pixel 6',
      root: 'magisk',
      arch: 'arm64',
      boot: {},
      vhostVsock: true,
      tun: true,
      memory: 7475,
      memoryAvailable: 3800,
      freeSpace: 47_633,
      selinux: 'Enforcing',
      wifi: { device: 'wlan0', powerSave: true },
      doze: 'ACTIVE',
      phantom: { monitor: 'null', limit: 'null', sync: 'none' },
      battery: { level: 87, celsius: 27.1, plugged: true },
      dns: ['192.0.2.53', '192.0.2.54'],
    });
    expect(phone('13').hypervisor).toBeUndefined();
    const { crosvm } = phone('13');
    expect(crosvm?.sha256).toBe('1'.repeat(64));
    expect([...(crosvm?.flags ?? [])]).toEqual(
      expect.arrayContaining(['--rwdisk', '--mem', '--host_ip', '--cid']),
    );
    expect(crosvm?.flags.has('--block')).toBe(false);
  });

  test('of Android 14, whose crosvm has both spellings', () => {
    const { crosvm, ...rest } = phone('14');
    expect(rest).toMatchObject({
      root: 'kernelsu',
      hypervisor: '/dev/kvm',
      boot: { unprotected: true, protected: true, version: 'kvm.arm-protected' },
      doze: 'IDLE',
      phantom: { limit: '2147483647', sync: 'persistent' },
      foreign: [],
    });
    expect(rest.wifi).toEqual({ device: 'wlan0' });
    for (const flag of [
      '--block',
      '--disk',
      '--vsock',
      '--cid',
      '--disable-sandbox',
      '--mem',
      '--no-balloon',
    ]) {
      expect(crosvm?.flags).toContain(flag);
    }
    expect(crosvm?.flags.has('--name')).toBe(false);
  });

  test('of Android 15 on mobile data, whose name servers no guest can reach', () => {
    const capabilities = phone('15');
    expect(capabilities).toMatchObject({
      root: 'apatch',
      hypervisor: '/dev/gunyah',
      boot: { unprotected: false },
      dns: [],
      battery: { level: 12, celsius: 48.5, plugged: false },
      data: { type: 'f2fs', options: expect.arrayContaining(['fsync_mode=posix']) as string[] },
    });
    expect(capabilities.wifi).toBeUndefined();
  });

  test('of Android 16 without root', () => {
    const capabilities = phone('16');
    expect(capabilities.root).toBe('none');
    expect(capabilities.rootRefused).toBeUndefined();
    expect(capabilities.crosvm?.flags).toContain('--name');
    expect(capabilities.boot).toEqual({ unprotected: true, protected: true, version: 'kvm.arm-protected' });
    expect(capabilities.wifi).toEqual({ device: 'wlan0', powerSave: false });
  });

  test('of the virtual phone', () => {
    const { crosvm, ...rest } = phone('virtual-phone');
    expect(rest).toMatchObject({
      root: 'magisk',
      arch: 'amd64',
      hypervisor: '/dev/kvm',
      dns: ['10.174.7.1'],
    });
    expect(crosvm?.flags).toContain('--block');
    expect(missing(phone('virtual-phone'))).toEqual(['phantom killer']);
  });

  test('with line ends of a terminal as without', () => {
    expect(parseProbe(recorded('14').replaceAll('\n', '\r\n'))).toEqual(phone('14'));
  });

  test('where a root flavour refuses, which one it is', () => {
    const refused = recorded('13').replace('#sovereign id\n0', '#sovereign id\n2000');
    expect(parseProbe(refused)).toMatchObject({ root: 'none', rootRefused: 'magisk' });
  });

  test('and nothing else is taken for it', () => {
    expect(() => parseProbe('error: device offline')).toThrow(/cannot be read/);
    expect(() => parseProbe('')).toThrow(/cannot be read/);
  });

  test('a phone that tells next to nothing is told of all the same', () => {
    const silent = parseProbe('#sovereign id\n0\n');
    expect(silent).toMatchObject({ sdk: 0, root: 'adbd', memory: 0, dns: [], foreign: [] });
    expect(missing(silent)).toEqual(
      expect.arrayContaining(['android', 'hypervisor', 'crosvm', 'space', 'memory']),
    );
  });
});

describe('what a person has to know', () => {
  test('nothing is missing on a phone on which everything is there', () => {
    expect(missing(capabilitiesOf(16))).toEqual([]);
  });

  test.for([
    ['13', ['hypervisor', 'phantom killer']],
    ['14', []],
    ['15', ['hypervisor', 'name servers', 'battery']],
    ['16', ['root', 'space', 'memory', 'phantom killer']],
  ] as const)('on Android %s what is missing is named', ([release, expected]) => {
    expect(missing(phone(release))).toEqual(expected);
  });

  test('everything has its evidence, and what is missing its cure', () => {
    for (const release of ['13', '14', '15', '16']) {
      for (const { name, ok, evidence, cure } of probes(phone(release))) {
        expect(evidence, name).not.toBe('');
        expect(cure === undefined, `${name}: ${cure}`).toBe(ok);
      }
    }
  });

  test('a Pixel 6 without a hypervisor can have one', () => {
    expect(asked(phone('13'), 'hypervisor')?.cure).toMatch(/Android 14.*fastboot oem pkvm enable/);
  });

  test('a phone that runs protected VMs only is no phone for this', () => {
    expect(asked(phone('15'), 'hypervisor')?.cure).toMatch(/protected VMs only/);
  });

  test('/data without barriers is told for what it is', () => {
    expect(asked(phone('13'), '/data')?.evidence).toMatch(/nobarrier.*may be lost/);
    expect(asked(phone('15'), '/data')?.evidence).not.toMatch(/may be lost/);
  });

  test('one network of the two is enough, and says which', () => {
    const tap = capabilitiesOf(16, { vhostVsock: false });
    expect(missing(tap)).toEqual([]);
    expect(asked(tap, 'vsock')?.evidence).toMatch(/--network tap/);
    expect(missing(capabilitiesOf(16, { vhostVsock: false, tun: false }))).toEqual(['vsock', 'tun']);
  });

  test('a crosvm without vsock is missing something', () => {
    const { crosvm } = capabilitiesOf(16);
    const flags = new Set(crosvm?.flags);
    for (const flag of ['--vsock', '--cid']) flags.delete(flag);
    const lacking = capabilitiesOf(16, { crosvm: { path: '/crosvm', sha256: 'd'.repeat(64), flags } });
    expect(asked(lacking, 'crosvm')).toMatchObject({
      ok: false,
      evidence: expect.stringMatching(/lacks --cid/) as string,
    });
  });

  test('the options of crosvm are counted for people and listed for scripts', () => {
    const { evidence, details } = asked(phone('16'), 'crosvm') ?? {};
    expect(details).toEqual(expect.arrayContaining(['--block', '--vsock']));
    expect(evidence).toContain(`${details?.length} options`);
  });

  test('what the predecessor left is reported, and is no fault', () => {
    expect(asked(phone('13'), 'predecessor')).toEqual({
      name: 'predecessor',
      ok: true,
      evidence:
        '.env, daemon.log, sovereign_start.sh, vm, /data/adb/service.d/sovereign_start.sh of an earlier Sovereign, left alone',
    });
    expect(asked(phone('14'), 'predecessor')).toBeUndefined();
  });
});

test('the fingerprint is one line that changes with Android, with its module and with crosvm', () => {
  const lines = ['13', '14', '15', '16'].map((release) => fingerprint(phone(release)));
  expect(new Set(lines).size).toBe(4);
  expect(lines[1]).toBe(
    `google/oriole/oriole:14/AP2A.240805.005/12025142:user/release-keys virt 341610000 crosvm ${'2'.repeat(64)}`,
  );
});

describe('the script', () => {
  /** How long the phone's own programs may take is one test's matter: those here may stand still for a while. */
  const patient = probeScript.replaceAll('timeout 5', 'timeout 60');

  /** Runs it in a phone's shell with a phone's tools and these programs beside them. */
  const answer = (programs: Record<string, string>, script = patient): string => {
    const bin = mkdtempSync(join(tmpdir(), 'sovereign-probe-'));
    onTestFinished(() => rmSync(bin, { recursive: true, force: true }));
    for (const tool of ['cat', 'df', 'echo', 'grep', 'id', 'ls', 'sha256sum', 'timeout', 'uname']) {
      symlinkSync('/usr/bin/toybox', join(bin, tool));
    }
    for (const [name, text] of Object.entries(programs)) {
      writeFileSync(join(bin, name), `#!/usr/bin/mksh\n${text}\n`, { mode: 0o755 });
    }
    return execFileSync('/usr/bin/mksh', ['-c', script, 'sh', join(bin, 'none', 'below')], {
      env: { PATH: bin, SOVEREIGN_ROOT: '' },
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
  };

  test('ends well where a phone lacks everything that it asks', () => {
    const capabilities = parseProbe(answer({}));
    expect(capabilities).toMatchObject({ sdk: 0, selinux: '', dns: [], arch: 'amd64' });
    expect(capabilities.memory).toBeGreaterThan(0);
    expect(capabilities.freeSpace).toBeGreaterThan(0);
  });

  test('asks what the parser reads', () => {
    const capabilities = parseProbe(
      answer({
        getprop: `case $# in
          0) echo '[ro.build.version.sdk]: [34]'; echo '[ro.secret]: [no]' ;;
          *) echo brand/model:14 ;;
        esac`,
        getenforce: 'echo Enforcing',
        device_config: '[ "$1" = get ] && echo 32 || echo until_reboot',
        settings: 'echo "$2 $3" | grep -q "^global settings_enable" && echo true',
        dumpsys: `case $1 in
          deviceidle) echo IDLE ;;
          battery) echo '  AC powered: true'; echo '  level: 50'; echo '  temperature: 300' ;;
          connectivity)
            echo 'Active default network: 7'
            echo '  NetworkAgentInfo{network{7} lp{{DnsAddresses: [ /192.0.2.1 ]}}}'
            echo '  noise'
            ;;
        esac`,
      }),
    );
    expect(capabilities).toMatchObject({
      sdk: 34,
      selinux: 'Enforcing',
      phantom: { monitor: 'true', limit: '32', sync: 'until_reboot' },
      doze: 'IDLE',
      battery: { level: 50, celsius: 30, plugged: true },
      dns: ['192.0.2.1'],
    });
    expect(fingerprint(capabilities)).toMatch(/^brand\/model:14 virt \S+ crosvm \S+$/);
  });

  test('is held by nothing that hangs', () => {
    const hasty = probeScript.replaceAll('timeout 5', 'timeout 0.1');
    expect(hasty).not.toBe(probeScript);
    const hanging = { getenforce: 'while :; do :; done' };
    expect(parseProbe(answer(hanging, hasty)).selinux).toBe('');
  });
});

test('the script is clean by shellcheck', { timeout: 30_000 }, () => {
  execFileSync('shellcheck', ['--norc', '--shell', 'sh', '-'], { input: probeScript });
});

import { SovereignError } from '@sovereign/report';
import { describe, expect, test } from 'vitest';
import { layerNames, type LayerName } from './contract.ts';
import { diagnoseScene } from './diagnose.ts';
import { layers } from './layers/index.ts';
import { type Broken, goodGuest, guestWith, NOW, standInScene } from './testing/stand-in.ts';

const quick = { deadline: 200, interval: 10 };

const silent = new SovereignError({
  code: 'no-answer',
  what: 'the guest did not answer within 60 s',
  exit: 3,
});

/** Each breaks exactly one layer. */
const cases: [layer: LayerName, how: string, broken: Broken, evidence: RegExp, fixed?: string | undefined][] =
  [
    [
      'device',
      'that is not reached',
      {
        inspects: new SovereignError({
          code: 'no-device',
          what: 'the phone is not attached',
          on: 'PHONE',
          exit: 4,
        }),
      },
      /not attached \(PHONE\)/,
    ],
    ['device', 'without the service', { inspection: { service: undefined } }, /never deployed on PHONE/],
    [
      'vm',
      'that is stopped',
      { service: { pid: undefined, launcher: undefined, state: 'stopped', 'exit-reason': 'stop' } },
      /no process: sql is stopped; it ended last by: stop/,
      'start',
    ],
    [
      'vm',
      'that was given up',
      {
        service: {
          pid: undefined,
          launcher: undefined,
          state: 'failed',
          attention: 'gave up after 6 starts',
        },
        inspection: { console: ['[ 1.2] Kernel panic - not syncing: VFS'] },
      },
      /gave up after 6 starts; .*Kernel panic/,
      'start',
    ],
    [
      'vm',
      'that dies again and again',
      { service: { pid: undefined, state: 'starting' } },
      /sql is starting/,
    ],
    ['vm', 'that nobody supervises', { service: { launcher: undefined } }, /nobody supervises/, 'start'],
    ['console', 'that is silent', { inspection: { console: [] } }, /not one line came in 300 s/],
    [
      'console',
      'of a kernel that gave up',
      {
        inspection: {
          console: ['[ 1.2] Kernel panic - not syncing: VFS: Unable to mount root fs', '[ 1.3] CPU: 0'],
        },
      },
      /gave up: .*Unable to mount root/,
    ],
    ['agent', 'that never spoke', { service: { stage: undefined, health: 'starting' } }, /not said anything/],
    [
      'agent',
      'that fell silent',
      { service: { silent: String(NOW - 77), health: 'unknown' } },
      /nothing for 77 s/,
    ],
    ['agent', 'that does not answer', { answers: silent }, /health ok, but: the guest did not answer/],
    [
      'clock',
      'of a guest in 1970',
      { guest: guestWith(['clock'], 'clock 86400') },
      /guest's clock says 1970-01-02/,
      'time',
    ],
    ['clock', 'of a device that is wrong', { inspection: { clock: NOW - 86_400 } }, /device's clock says/],
    [
      'link',
      'that is down',
      { guest: guestWith(['link eth0'], 'link eth0 down none') },
      /eth0 is down/,
      'mend network',
    ],
    [
      'link',
      'without a carrier',
      { guest: guestWith(['link eth0'], 'link eth0 up none') },
      /no carrier/,
      'mend network',
    ],
    ['link', 'that is not there', { guest: guestWith(['link eth0']) }, /eth0 is not there/, 'mend network'],
    [
      'link',
      'whose gvproxy is gone',
      { device: { gvproxy: undefined } },
      /gvproxy does not run/,
      'renew network',
    ],
    [
      'link',
      'whose gvproxy hangs',
      { guest: guestWith(['gateway'], 'gateway no'), device: { attention: 'gvproxy hangs (pid 38)' } },
      /does not answer the guest: gvproxy hangs/,
      'renew network',
    ],
    [
      'link',
      'whose gvforwarder is gone',
      { guest: guestWith(['gvforwarder'], 'gvforwarder no') },
      /gvforwarder/,
      'mend network',
    ],
    [
      'address',
      'that was removed',
      { guest: guestWith(['address eth0', 'gateway'], 'gateway no') },
      /not set: 192\.168\.127\.2\/24 on eth0/,
      'mend network',
    ],
    [
      'route',
      'that was removed',
      { guest: guestWith(['route', 'gateway'], 'gateway no') },
      /no default route by 192\.168\.127\.1: there is none/,
      'mend network',
    ],
    [
      'route',
      'to a gateway that does not answer',
      { guest: guestWith(['gateway'], 'gateway no'), device: { network: 'tap', gvproxy: undefined } },
      /which does not answer/,
    ],
    [
      'lookup',
      'by a name server that says no',
      {
        guest: guestWith(
          ['lookup'],
          'lookup-status 1',
          "lookup ** server can't find control.example: NXDOMAIN",
        ),
      },
      /control\.example is not known to 192\.0\.2\.53: .*NXDOMAIN; this workstation says 192\.0\.2\.7/,
      'mend network',
    ],
    [
      'lookup',
      'by a name server that is silent while all else is well',
      {
        guest: guestWith(
          ['lookup'],
          'lookup-status 1',
          'lookup ;; connection timed out; no servers could be reached',
        ),
      },
      /no servers could be reached/,
      'mend network',
    ],
    [
      'uplink',
      'that is cut: no name server answers either',
      {
        guest: guestWith(
          ['lookup', 'uplink'],
          'lookup-status 1',
          'lookup ;; connection timed out; no servers could be reached',
          'uplink-status 1',
          'uplink nc: connect: Network is unreachable',
        ),
      },
      /control\.example \(192\.0\.2\.7 port 443\) is not reached: nc: .*unreachable/,
    ],
    [
      'uplink',
      'that is cut for this workstation too, while a tailnet is wanted',
      {
        guest: guestWith(
          ['lookup', 'uplink'],
          'lookup-status 1',
          'lookup ;; connection timed out; no servers could be reached',
          'uplink-status 1',
          "uplink nc: bad address 'control.example'",
        ),
        resolve: () => Promise.reject(new Error('EAI_AGAIN')),
      },
      /nothing outside is reached, by this workstation neither: nc: bad address/,
    ],
    [
      'tailscaled',
      'that does not run',
      {
        guest: guestWith(
          ['tailscale', 'peer'],
          'tailscale-status 1',
          "tailscale failed to connect to local tailscaled; it doesn't appear to be running",
        ),
      },
      /failed to connect/,
      'mend tailnet',
    ],
    [
      'tailscaled',
      'that hangs',
      { guest: guestWith(['tailscale', 'peer'], 'tailscale-status 143') },
      /143/,
      'mend tailnet',
    ],
    ...(
      [
        ['nobody logged in', 'needs-login https://login.example/a', /nobody has logged/],
        ['logged out', 'logged-out', /logged out/],
        ['with a refused key', 'refused key expired', /refused the key: key expired/],
        ['that waits for approval', 'needs-approval', /waits for approval/],
        ['that was stopped', 'stopped', /stopped by hand/],
        ['whose key is over', 'expired 2020-01-01T00:00:00Z', /expired at 2020/],
        [
          'that runs without its control server',
          'running 100.64.0.1 sql-phone never nodeid1 connection refused',
          /of sql-phone does not answer: connection refused/,
        ],
        [
          'without its control server',
          'unreachable connection refused',
          /does not answer: connection refused/,
        ],
        ['that begins', 'starting', /has just begun/],
        [
          'whose key expired',
          'running 100.64.0.1 sql-phone 2020-01-01T00:00:00Z nodeid1',
          /key of sql-phone expired at 2020/,
        ],
      ] as const
    ).map(([how, state, evidence]): [LayerName, string, Broken, RegExp] => [
      'login',
      how,
      { guest: guestWith(['tailnet'], `tailnet ${state}`) },
      evidence,
    ]),
    [
      'login',
      'that stays without a relay',
      { guest: guestWith(['tailnet'], 'tailnet starting no relay') },
      /neither a relay nor another device: no relay/,
      'mend tailnet',
    ],
    ['peers', 'that are none', { guest: guestWith(['tailscale 100.64.0.2', 'peer']) }, /no other device/],
    [
      'peers',
      'that are all off',
      { guest: guestWith(['tailscale 100.64.0.2', 'peer'], 'tailscale 100.64.0.2 laptop lab linux offline') },
      /none is online: laptop/,
    ],
    [
      'peers',
      'that do not answer',
      { guest: guestWith(['peer'], 'peer laptop 100.64.0.2 1 no reply') },
      /laptop does not answer: no reply/,
    ],
    [
      'port',
      'that nobody listens on',
      { guest: guestWith(['port postgres'], 'port postgres 5432 no') },
      /postgres \(5432\); health: ok/,
    ],
    [
      'port',
      'that is closed for a trial',
      { guest: guestWith(['firewall'], 'firewall closed'), service: { trial: 'yes' } },
      /on trial/,
    ],
    [
      'port',
      'that the tailnet’s rules do not let through',
      {
        guest: guestWith(
          ['rules'],
          'rules-status 0',
          'rules counter packets 0 bytes 0 drop comment "not for the tailnet"',
        ),
      },
      /other rules for the tailnet .*open: nothing; declared: tcp dport 443 .*tcp dport 5432/,
    ],
    [
      'port',
      'with another one open to the tailnet',
      { guest: [...goodGuest, 'rules tcp dport 22 accept'] },
      /open: tcp dport 22 accept; tcp dport 443 .*tcp dport 5432/,
    ],
    [
      'port',
      'whose rules for the tailnet are gone',
      { guest: guestWith(['rules'], 'rules-status 1', 'rules Error: No such file or directory') },
      /it has none: Error: No such file/,
    ],
    [
      'port',
      'that is not published',
      { reaches: (host) => Promise.resolve(host !== '127.0.0.1') },
      /127\.0\.0\.1:15432 of this workstation/,
    ],
    ...(
      [
        ['without a certificate', 'none', /there is no certificate/],
        [
          'with a certificate that the tailnet does not make',
          'bad no certificate: 500: rate limited',
          /the tailnet made no certificate: .*rate limited/,
        ],
        [
          'that nobody takes',
          'bad dial tcp 100.64.0.1:443: connect: connection refused',
          /nobody takes TLS: .*refused/,
          'mend tailnet',
        ],
        ['that hangs', 'bad it says nothing', /nobody takes TLS: it says nothing/, 'mend tailnet'],
        [
          'with a certificate that is over',
          'bad tls: x509: certificate has expired or is not yet valid: current time 2026',
          /not of this time: .*expired/,
        ],
        [
          'with a certificate that is over by this workstation’s clock',
          'on web.example 2026-05-01T10:00:00Z own',
          /ends at 2026-05-01T10:00:00\.000Z, which is over/,
        ],
        [
          'with a certificate of another name',
          'bad tls: x509: certificate is valid for a.example, not web.example',
          /has another name: .*valid for a\.example/,
        ],
        [
          'with a certificate that nobody trusts',
          'bad tls: x509: certificate signed by unknown authority',
          /nobody trusts the certificate: /,
        ],
        [
          'whose handshake fails otherwise',
          'bad remote error: tls: internal error',
          /not verified: remote error/,
        ],
        ['that begins, whatever was told before', 'starting', /told nothing of HTTPS yet/],
        ['that is told in words of another release', 'dancing', /the guest says: dancing/],
      ] as const
    ).map(([how, told, evidence, fixed]): (typeof cases)[number] => [
      'https',
      how,
      {
        guest: guestWith(['https'], `https ${told}`),
        service: { https: 'on a.example 2099-05-22T10:00:00Z own' },
      },
      evidence,
      fixed,
    ]),
    [
      'https',
      'of which an older guest, that does no handshake when it is asked, told before',
      { guest: guestWith(['https']), service: { https: 'none' } },
      /there is no certificate/,
    ],
    ['https', 'that has not begun', { guest: guestWith(['https']) }, /told nothing of HTTPS yet/],
    [
      'request',
      'that the service’s own check finds bad',
      { service: { health: 'bad no answer within 4 s' } },
      /bad no answer/,
    ],
    [
      'request',
      'that is not answered',
      { database: new Error('timeout expired') },
      /`select 1` .* timeout expired/,
    ],
  ];

test('everything is asked, in the order of the layers, and everything is well', async () => {
  const { scene, did } = standInScene();
  const diagnosis = await diagnoseScene(scene, { fix: true });
  expect(diagnosis.layers.filter(({ result }) => result !== 'ok')).toEqual([]);
  expect(diagnosis.layers.map(({ name }) => name)).toEqual([...layerNames]);
  expect(layers.map(({ name }) => name)).toEqual([...layerNames]);
  expect(diagnosis).toMatchObject({ ok: true, failed: null, device: 'PHONE', service: 'sql' });
  expect(did).toEqual([]);
});

test('every layer has a case that breaks it', () => {
  expect([...new Set(cases.map(([layer]) => layer))]).toEqual([...layerNames]);
});

describe.each(cases)('%s %s', (layer, _how, broken, evidence, fixed) => {
  test('is named, with evidence and cure, and nothing after it is asked', async () => {
    const { scene, did } = standInScene(broken);
    const diagnosis = await diagnoseScene(scene, { fix: false });
    expect(diagnosis.failed).toBe(layer);
    expect(diagnosis.ok).toBe(false);
    const last = diagnosis.layers.at(-1);
    expect(last?.name).toBe(layer);
    expect(last?.evidence).toMatch(evidence);
    if (layer !== 'device' || broken.inspects === undefined) expect(last?.cure).toMatch(/^[A-Z].*/);
    expect(diagnosis.reached).toBe(broken.inspects === undefined);
    expect(diagnosis.layers).toHaveLength(layerNames.indexOf(layer) + 1);
    expect(did).toEqual([]);
  });

  test(fixed === undefined ? 'is nothing that --fix touches' : `is fixed: ${fixed}`, async () => {
    const { scene, did, mend } = standInScene(broken);
    // Unfixed it stays named.
    const still = await diagnoseScene(scene, { fix: true, cure: quick });
    expect(still.failed).toBe(layer);
    expect(did.filter((action) => action !== 'wait')).toEqual(fixed === undefined ? [] : [fixed]);
    if (fixed === undefined) return;
    expect(still.layers.at(-1)?.fixed).toBeDefined();
    // And once it helped, the look goes on.
    scene.forget();
    const asked = diagnoseScene(scene, { fix: true, cure: { deadline: 20_000, interval: 10 } });
    setTimeout(mend, 30);
    expect(await asked).toMatchObject({ ok: true, failed: null });
  });
});

test('a guest that is silent for a moment is asked again', async () => {
  const { scene, mend } = standInScene({ service: { silent: String(NOW - 16), health: 'unknown' } });
  const inspect = scene.device.inspector.inspect.bind(scene.device.inspector);
  let asked = 0;
  scene.device.inspector.inspect = (service) => {
    asked += 1;
    if (asked === 2) mend();
    return inspect(service);
  };
  expect(await diagnoseScene(scene, { fix: false })).toMatchObject({ ok: true });
});

test('what does not apply is said, and not counted as well', async () => {
  const { scene } = standInScene({ guest: guestWith(['setting tailnet', 'tailnet', 'tailscale', 'peer']) });
  const { ok, layers: results } = await diagnoseScene(scene, { fix: false });
  expect(ok).toBe(true);
  const off = results.filter(({ result }) => result === 'skipped').map(({ name }) => name);
  expect(off).toEqual(['tailscaled', 'login', 'peers', 'https']);
});

test('a service without HTTPS is not asked for it', async () => {
  const { scene } = standInScene({ guest: guestWith(['https', 'rules 		tcp dport 443']) });
  const ports = scene.definition.ports.filter(({ tls }) => tls === undefined);
  Object.assign(scene, { definition: { ...scene.definition, ports } });
  const { ok, layers: results } = await diagnoseScene(scene, { fix: false });
  expect(ok).toBe(true);
  expect(results.filter(({ result }) => result === 'skipped')).toEqual([
    expect.objectContaining({ name: 'https', evidence: 'the service has no HTTPS' }),
  ]);
});

test('what cures HTTPS names the secret and the setting of the service', async () => {
  const cure = async (told: string) => {
    const { scene } = standInScene({ guest: guestWith(['https'], `https ${told}`) });
    return (await diagnoseScene(scene, { fix: false })).layers.at(-1)?.cure;
  };
  expect(await cure('none')).toMatch(/login\.tailscale\.com.*sovereign secrets set sql certificate </);
  expect(await cure('bad tls: x509: certificate is valid for a.example, not web.example')).toMatch(
    /sovereign secrets set sql certificate <.*sovereign settings sql domain=https/,
  );
});

test('a name that this workstation does not know either tells nothing, nor a server that it does not reach', async () => {
  const { scene } = standInScene({
    guest: guestWith(
      ['lookup', 'uplink'],
      'lookup-status 1',
      "lookup ** server can't find control.example: NXDOMAIN",
      'uplink-status 1',
    ),
    resolve: () => Promise.reject(new Error('ENOTFOUND')),
  });
  const { ok, layers: results } = await diagnoseScene(scene, { fix: false });
  expect(ok).toBe(true);
  const off = results.filter(({ result }) => result === 'skipped').map(({ name }) => name);
  expect(off).toEqual(['lookup', 'uplink']);
});

test('an uplink is not called cut where this workstation does not reach the server either', async () => {
  const { scene } = standInScene({
    guest: guestWith(['uplink'], 'uplink-status 1', 'uplink nc: timed out'),
    reaches: (host) => Promise.resolve(host === '127.0.0.1'),
  });
  const { failed, layers: results } = await diagnoseScene(scene, { fix: false });
  expect(failed).toBe(null);
  expect(results.find(({ name }) => name === 'uplink')).toMatchObject({
    result: 'skipped',
    evidence: expect.stringContaining('by this workstation neither') as string,
  });
});

test('a cure that cannot be done is told', async () => {
  const { scene } = standInScene({ guest: goodGuest, device: { gvproxy: undefined } });
  scene.device.inspector.renewNetwork = () =>
    Promise.reject(new SovereignError({ code: 'no-network', what: 'gvproxy is missing in the store' }));
  const { layers: results } = await diagnoseScene(scene, { fix: true, cure: quick });
  expect(results.at(-1)).toMatchObject({
    name: 'link',
    result: 'failed',
    evidence: expect.stringMatching(/^tried to start gvproxy again.*missing in the store$/) as string,
  });
});

import { tailnetRulesFault } from '@sovereign/service';
import { fail, pass, skip, type Check, type CheckContext } from './contract.ts';
import { settings } from './network.ts';

const OFF = skip('this device is in no tailnet');

const isOn = async (context: CheckContext): Promise<boolean> =>
  (await settings(context)).some(([key, value]) => key === 'tailnet' && value === 'yes');

/** The node is in the tailnet, by its own word. */
const state: Check = {
  name: 'tailnet.state',
  async run(context) {
    if (!(await isOn(context))) return OFF;
    const { stdout, stderr } = await context.guest.exec(['/usr/lib/sovereign/tailnet', 'status']);
    const said = /^tailnet (.+)$/m.exec(stdout)?.[1];
    if (said === undefined) return fail(`the guest says nothing of its tailnet: ${stderr.trim()}`);
    const [word, address = '', name = ''] = said.split(' ');
    return word === 'running' ? pass(`${name} at ${address}`) : fail(said);
  },
};

/** What the tailnet may reach is what the definition declares, in the rules that the kernel has now. */
const ports: Check = {
  name: 'tailnet.ports',
  async run(context) {
    if (!(await isOn(context))) return OFF;
    const { status, stdout, stderr } = await context.guest.exec([
      ...['nft', 'list', 'chain', 'inet', 'sovereign', 'tailnet'],
    ]);
    if (status !== 0) return fail(`the firewall has no rules for the tailnet: ${stderr.trim()}`);
    const fault = tailnetRulesFault(context.definition, stdout.split('\n'));
    if (fault !== undefined) return fail(fault);
    return pass(`open: ${context.definition.ports.flatMap(({ tailnet }) => tailnet ?? []).join(', ')}`);
  },
};

/** A handshake with the service's HTTPS was verified, by the guest's word. */
const https: Check = {
  name: 'tailnet.https',
  async run(context) {
    if (context.definition.ports.every(({ tls }) => tls === undefined)) return skip('it has no HTTPS');
    if (!(await isOn(context))) return OFF;
    const { stdout } = await context.guest.exec(['/usr/lib/sovereign/tailnet', 'status']);
    const said = /^https (.+)$/m.exec(stdout)?.[1];
    if (said === undefined) return fail('the guest says nothing of HTTPS');
    if (said === 'none') return fail('there is no certificate: the tailnet makes none, and none was given');
    const [word, name = '', until = ''] = said.split(' ');
    return word === 'on' ? pass(`${name} until ${until}`) : fail(said);
  },
};

export const tailnetChecks: readonly Check[] = [state, ports, https];

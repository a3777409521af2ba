import { tailnetRulesFault } from '@sovereign/service';
import { failed, ok, type Layer } from '../contract.ts';

/** The service listens in the guest, the guest's firewall is open, and the published port takes connections. */
export const port: Layer = {
  name: 'port',
  asks: 'the guest: who listens, and its firewall; this workstation: a connection to the published port',
  async probe(scene) {
    const guest = await scene.guest();
    const { definition, device } = scene;
    const { name } = definition;
    const { service = {} } = await scene.inspection();
    const deaf = definition.ports.filter(
      ({ guest: number }) => !guest.ports.some((seen) => seen.number === number && seen.listens),
    );
    if (deaf.length > 0) {
      const list = deaf.map((declared) => `${declared.name} (${declared.guest})`).join(', ');
      return failed(
        `nobody listens in the guest: ${list}; health: ${service.health ?? 'unknown'}`,
        `Run sovereign logs ${name}, then sovereign restart ${name}`,
      );
    }
    if (guest.firewall !== 'open') {
      return failed(
        `the guest's firewall is ${guest.firewall ?? 'unknown'}${service.trial === 'yes' ? ': the release is on trial' : ''}`,
        service.trial === 'yes' ? 'Wait until the trial is over' : `Run sovereign restart ${name}`,
      );
    }
    // Older guests do not show theirs.
    const { rules } = guest;
    const fault =
      rules === undefined
        ? undefined
        : rules.status === 0
          ? tailnetRulesFault(definition, rules.lines)
          : `it has none: ${rules.lines.at(-1) ?? ''}`;
    if (fault !== undefined) {
      return failed(
        `the guest's firewall has other rules for the tailnet than the definition declares: ${fault}`,
        `Run sovereign restart ${name}`,
      );
    }
    const [status] = await device.status([definition]);
    const local = (status?.endpoints ?? [])
      .map(({ url }) => new URL(url))
      .filter(({ hostname }) => hostname === '127.0.0.1');
    for (const { hostname, port: number } of local) {
      if (!(await scene.workstation.reaches(hostname, Number(number)))) {
        return failed(
          `${hostname}:${number} of this workstation takes no connection`,
          device.kind === 'local'
            ? `Run sovereign restart ${name}`
            : `Run sovereign status ${name}, which makes missing forwards again`,
        );
      }
    }
    if (local.length === 0) return failed('no port is published', `Run sovereign deploy ${name}`);
    return ok(`listens, firewall open, ${local.map(({ host }) => host).join(', ')} takes connections`);
  },
};

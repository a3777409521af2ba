import type { Fix } from './contract.ts';

/** What `--fix` may do: none of these loses data or forgets a setting. */
export const startService: Fix = {
  what: 'start the service',
  async run({ device, definition }) {
    await device.start(definition);
    // What keeps it from being healthy is what the layers above are asked for.
    await device.waitHealthy(definition, definition.health.deadline).catch(() => undefined);
  },
};

export const setClock: Fix = {
  what: "set the guest's clock to the device's",
  run: ({ device, definition }) => device.inspector.askGuest(definition, ['time']),
};

export const setNetwork: Fix = {
  what: 'set interfaces, addresses, routes and name servers in the guest as the settings say',
  run: ({ device, definition }) => device.inspector.askGuest(definition, ['mend', 'network']),
};

export const renewNetwork: Fix = {
  what: "start gvproxy again, which ends connections to this device's services",
  run: ({ device }) => device.inspector.renewNetwork(),
};

export const restartTailscaled: Fix = {
  what: 'start tailscaled in the guest again, and what takes TLS; it keeps its identity',
  run: ({ device, definition }) => device.inspector.askGuest(definition, ['mend', 'tailnet']),
};

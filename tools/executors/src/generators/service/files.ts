/** What a new service begins with; docs/services.md tells what to make of it. */

export const definition = (
  name: string,
  index: number,
): string => `import { guestLeavesOut, guestPackages } from '@sovereign/guest';
import { defineService } from '@sovereign/service';

export default defineService({
  name: '${name}',
  title: '${name.charAt(0).toUpperCase()}${name.slice(1)}',
  net: { index: ${index} },
  bases: {
    alpine: { packages: [...guestPackages.alpine], leaveOut: { ...guestLeavesOut.alpine } },
    debian: { packages: [...guestPackages.debian], leaveOut: { ...guestLeavesOut.debian } },
  },
  accounts: [],
  resources: { memory: 128, cpus: 1 },
  data: { kind: '${name}', major: 1, collation: 'none', size: 256 },
  ports: [{ name: 'web', guest: 8000, host: ${18_000 + index}, scheme: 'http' }],
  secrets: [],
  units: ['${name}'],
  health: { command: '/usr/lib/sovereign/${name}-health', deadline: 120 },
});
`;

export const packageJson = (name: string): string => `{
  "name": "rootfs-${name}",
  "version": "0.1.0",
  "private": true,
  "description": "${name} in a virtual machine: definition, overlay, locks, tests",
  "license": "Apache-2.0",
  "type": "module",
  "dependencies": {
    "@sovereign/guest": "*",
    "@sovereign/service": "*"
  }
}
`;

export const tsconfig = `{
  "extends": "../../tsconfig.base.json",
  "compilerOptions": {
    "outDir": "dist/types",
    "rootDir": ".",
    "tsBuildInfoFile": "dist/types/tsconfig.tsbuildinfo"
  },
  "include": ["**/*.ts"],
  "exclude": ["dist"],
  "references": [
    {
      "path": "../../libs/service"
    },
    {
      "path": "../guest"
    }
  ]
}
`;

export const unitTest = `import { expect, test } from 'vitest';
import definition from '../service.config.ts';

test('the tailnet reaches nothing that is not meant for it', () => {
  expect(definition.ports.filter(({ tailnet }) => tailnet !== undefined)).toEqual([]);
});
`;

export const openrcService = (name: string): string => `#!/sbin/openrc-run
# shellcheck shell=sh disable=SC1091,SC2034

. /usr/lib/sovereign/quick.sh

description="${name}, on the data disk"
supervisor=supervise-daemon
command=/usr/lib/sovereign/${name}
command_args=serve
pidfile=/run/${name}.pid
output_log=/dev/console
error_log=/dev/console
respawn_delay=1
respawn_max=0
retry="SIGTERM/20/SIGKILL/5"

depend() {
	need data
}

start_pre() {
	/usr/lib/sovereign/${name} initialise
}

start_post() {
	/usr/lib/sovereign/${name} ready
}
`;

export const healthScript = (name: string): string => `#!/bin/sh
# The health of the service: a real request.
exec /usr/lib/sovereign/${name} health
`;

export const program = (name: string): string => `#!/bin/sh
# ${name} initialise|serve|ready|health: what the OpenRC service of the same name does, step by step, and what the
# health watch asks.

# shellcheck source=packages/guest/overlay/usr/lib/sovereign/common.sh
. "\${SOVEREIGN_LIB:-/usr/lib/sovereign}/common.sh"
# shellcheck source=packages/guest/overlay/usr/lib/sovereign/data.sh
. "\${SOVEREIGN_LIB:-/usr/lib/sovereign}/data.sh"

home=$DATA/${name}

health() {
	wget -q -O /dev/null http://127.0.0.1:8000/ && return
	echo "nobody answers at port 8000"
	return 1
}

case \${1-} in
initialise)
	# What ought to be there and is not is never replaced by an empty one.
	data_read
	if [ "$data_initialised" = true ] && ! [ -d "$home" ]; then
		stay_down "data missing: the disk was initialised once and has no ${name}"
		exit 1
	fi
	[ "$data_initialised" = true ] || tell stage initialise
	mkdir -p "$home"
	tell stage service
	;;
serve) exec httpd -f -p 8000 -h "$home" ;;
ready)
	# The launcher has the deadline.
	until health >/dev/null 2>&1; do sleep 0.2; done
	data_read
	[ "$data_initialised" = true ] || data_record true
	tell health ok
	: >"$RUN/started"
	;;
health) health ;;
*)
	echo "usage: ${name} initialise|serve|ready|health" >&2
	exit 2
	;;
esac
`;

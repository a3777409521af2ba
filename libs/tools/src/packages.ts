/** What the tool root is made of: Debian packages of trixie. Changing this list asks for a new tool lock. */
const common = [
  // A system that scripts can run in.
  ...['base-files', 'bash', 'dash', 'coreutils', 'sed', 'grep', 'findutils', 'diffutils', 'gawk', 'm4'],
  ...['tar', 'cpio', 'gzip', 'xz-utils', 'bzip2', 'zstd', 'patch'],
  // The kernel: Documentation/process/changes.rst, and ncurses for menuconfig.
  ...[
    'make',
    'gcc',
    'gcc-aarch64-linux-gnu',
    'libc6-dev',
    'flex',
    'bison',
    'bc',
    'perl-base',
    'python3-minimal',
  ],
  ...['libelf-dev', 'libssl-dev', 'libncurses-dev', 'pkgconf', 'ccache'],
  // Disk images.
  'erofs-utils',
];

/** Packages by the host's architecture, in Debian's spelling. */
export const toolPackages = {
  // The C library of the guest, for small test programs that run in it.
  amd64: [...common, 'libc6-dev-arm64-cross'],
  arm64: common,
} as const;

export type HostArch = keyof typeof toolPackages;

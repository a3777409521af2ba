#!/system/bin/sh
# Stand-in for crosvm: hands its arguments to stand-ins/crosvm/main.ts, run by this workstation's Node.
conf() {
  sed -n "s/^$1 //p" /dev/.phone/conf
}
exec "$(conf host-loader)" --library-path "$(conf host-libraries)" "$(conf node)" \
  /.phone/checkout/tools/virtual-phone/stand-ins/crosvm/main.ts "$@"

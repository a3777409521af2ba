# shellcheck shell=sh disable=SC2154
# HTTPS of a web service's port in the tailnet (docs/decisions/0019-https.md). Sourced by `tailnet`, after its names.
#
# The line `tls NAME NUMBER GUESTPORT SECRET SETTING` of service.conf asks for it: TLS is taken at NUMBER, and what is
# in it goes to GUESTPORT. The certificate is the owner's, the secret SECRET, or where there is none one that the tailnet
# makes for the name of the node, if it makes any. SETTING holds the address under which the owner's clients know the
# service; where it says this machine alone, the service learns the one in the tailnet once that is in order.

GVFORWARDER=${SOVEREIGN_GVFORWARDER:-/usr/lib/sovereign/gvforwarder}
# Seconds of uptime until a handshake is checked again that was good, or was not.
HTTPS_GOOD_SECONDS=3600
HTTPS_BAD_SECONDS=120
# Seconds that the tailnet may take to make a certificate: it has to be proven in DNS.
CERTIFICATE_SECONDS=300
# Go returns memory to the guest from here on.
HTTPS_MEMORY_LIMIT=16MiB
# Seconds until a service that starts has begun, before it is started anew.
HTTPS_BEGIN_SECONDS=600
# Seconds that a handshake may take; fewer where somebody waits for it.
https_seconds=25
HTTPS_NOW_SECONDS=10
# What the last handshake said.
https_log=https.log

# https_begin: once a `run`.
https_begin() {
	https_stop
	rm -f "$BOOT/https-busy" "$BOOT/https" "$RUN/state/https"
	https_was='' https_next=0 https_told=''
	https_declared || :
}

# https_declared: reads what the service declares; fails where that is nothing.
https_declared() {
	tls=''
	while read -r key words; do
		[ "$key" != tls ] || tls=$words
	done <"$SERVICE_CONF"
	[ -n "$tls" ] || return
	read -r _ tls_number tls_to tls_secret tls_setting <<-end
		$tls
	end
}

# https_ask: prints how it stands now, beside `run`, whose last look may be an hour old; nothing where the service has
# none.
https_ask() {
	https_declared || return 0
	https_state=starting
	ask
	if [ "$backend" = Running ] && [ ! -e "$BOOT/https-busy" ]; then https_judge; fi
	echo "https $https_state"
}

# https_judge: sets $https_state by a handshake that is done now.
https_judge() {
	https_log=https-now.log https_seconds=$HTTPS_NOW_SECONDS
	https_choose
	if [ -z "$https_from" ]; then
		https_state=none
	elif [ ! -s "$https_file" ]; then
		# The tailnet made none; why, `run` knows.
		[ ! -s "$BOOT/https" ] || read -r https_state <"$BOOT/https"
	elif https_check; then
		https_state="on $https_name $https_until $https_from"
	else
		https_why
		https_state="bad $https_problem"
	fi
}

# https_look: while the node runs. What takes long is done aside, and wakes `run` when it is over.
https_look() {
	[ -n "$tls" ] || return 0
	https_now=
	if read -r https_now 2>/dev/null <"$BOOT/https" && [ "$https_now" != "$https_told" ]; then
		https_told=$https_now
		tell https "$https_now"
		echo "tailnet: https $https_now"
		case $https_now in
		'on '*)
			https_now_name=${https_now#on }
			https_publish "${https_now_name%% *}"
			;;
		esac
	fi
	[ ! -e "$BOOT/https-busy" ] || return 0
	https_choose
	read -r uptime _ </proc/uptime
	uptime=${uptime%%.*}
	if [ "$https_is" = "$https_was" ] && [ "$uptime" -lt "$https_next" ] &&
		{ [ -z "$https_from" ] || https_runs; }; then
		return 0
	fi
	https_was=$https_is
	# Until it is known better.
	https_next=$((uptime + HTTPS_BAD_SECONDS))
	case $https_now in 'on '*) https_next=$((uptime + HTTPS_GOOD_SECONDS)) ;; esac
	: >"$BOOT/https-busy"
	(
		exec 3>&-
		https_work
		printf '%s\n' "$https_state" >"$BOOT/https"
		rm -f "$BOOT/https-busy"
		wake https
	) &
}

# https_publish NAME: where the owner's setting names no public address, the service is to know this one: it starts
# anew with it, aside, since that may take long. Once, because the address outlasts the boot.
https_publish() {
	! public_setting "$tls_setting" || return 0
	https_address=https://$1
	[ "$tls_number" = 443 ] || https_address=$https_address:$tls_number
	! read -r https_known 2>/dev/null <"$PUBLIC" || [ "$https_known" != "$https_address" ] || return 0
	printf '%s\n' "$https_address" >"$PUBLIC.new"
	mv "$PUBLIC.new" "$PUBLIC"
	echo "tailnet: the service is reached at $https_address"
	(
		exec 3>&-
		https_waited=0
		while ! [ -e "$RUN/started" ] && [ $https_waited -lt $HTTPS_BEGIN_SECONDS ]; do
			https_waited=$((https_waited + 1))
			sleep 1
		done
		settings_apply || echo "tailnet: $settings_problem"
	) </dev/null &
}

# https_choose: sets $https_from to `own` or `tailnet`, or to nothing, $https_file to where the certificate lies or is
# to lie, $https_name to the name that it has to have, and $https_is to all that a change of would matter.
https_choose() {
	https_from='' https_file=$CONFIG/secrets/$tls_secret https_digest=none
	if [ -s "$https_file" ]; then
		https_from=own
		https_digest=$(sha256sum <"$https_file")
		https_digest=${https_digest%% *}
	elif [ -n "$domain" ]; then
		https_from=tailnet https_file=$BOOT/certificate.pem
	fi
	https_name=$name
	! public_setting "$tls_setting" || https_name=$public_host
	https_is="$https_from $https_digest $https_name $address $domain"
}

# https_work: sets $https_state, the words for the control channel (docs/formats.md, "Tailnet").
https_work() {
	case $https_from in
	'')
		https_stop
		https_state=none
		return
		;;
	tailnet) https_fetch || return ;;
	esac
	https_start
	tries=0
	while ! https_check; do
		case $https_problem in
		*refused*)
			# It may not listen yet, or not have begun.
			tries=$((tries + 1))
			if [ $tries -lt 30 ] && { [ $tries -lt 4 ] || https_runs; }; then
				sleep 0.5
				continue
			fi
			;;
		esac
		https_why
		https_state="bad $https_problem"
		return
	done
	https_state="on $https_name $https_until $https_from"
}

# https_check: a handshake as a client does it, verified; sets $https_until or $https_problem.
https_check() {
	https_until=$(timeout $https_seconds "$GVFORWARDER" -tls-check "$address:$tls_number" -name "$https_name" \
		-certificate "$https_file" 2>"$BOOT/$https_log") && return
	https_problem "$https_log"
	return 1
}

# https_why: where nobody listens, what should have says why.
https_why() {
	case $https_problem in
	*refused*) https_runs || [ ! -s "$BOOT/tls.log" ] || https_problem tls.log ;;
	esac
}

# https_problem LOG: sets $https_problem to what a program said there last.
https_problem() {
	https_problem='it says nothing'
	while IFS= read -r line; do [ -z "$line" ] || https_problem=$line; done <"$BOOT/$1"
	https_problem=${https_problem##*no handshake: }
	https_problem=$(plain "${https_problem##*no TLS: }")
}

# https_fetch: the certificate of the tailnet, which the daemon makes, keeps beside its state, and renews when it is
# asked for one that has become old. Not by `tailscale serve`, which would take the connections before the firewall.
https_fetch() {
	if client $CERTIFICATE_SECONDS cert --cert-file=- --key-file=- "$domain" \
		>"$BOOT/certificate.new" 2>"$BOOT/https.log"; then
		mv "$BOOT/certificate.new" "$https_file"
		return
	fi
	rm -f "$BOOT/certificate.new"
	https_problem https.log
	https_state="bad no certificate: $https_problem"
	return 1
}

https_runs() {
	read -r https_pid 2>/dev/null <"$BOOT/tls-pid" && is_running "$https_pid" gvforwarder
}

# https_start: with the certificate that there is now; one that runs with another ends.
https_start() {
	https_digest=$(sha256sum <"$https_file")
	https_digest=${https_digest%% *}
	if https_runs && read -r https_with <"$BOOT/tls-with" && [ "$https_with" = "$https_digest" ]; then return; fi
	https_stop
	printf '%s\n' "$https_digest" >"$BOOT/tls-with"
	(
		# Where memory ends, the service goes on.
		echo 500 >/proc/self/oom_score_adj
		GOMEMLIMIT=$HTTPS_MEMORY_LIMIT exec "$GVFORWARDER" -tls ":$tls_number" -to "127.0.0.1:$tls_to" \
			-certificate "$https_file" </dev/null 2>"$BOOT/tls.log"
	) &
	printf '%s\n' "$!" >"$BOOT/tls-pid"
}

https_stop() {
	# It has nothing to put in order, and one that hangs would keep the port from the next.
	! https_runs || kill -9 "$https_pid"
	rm -f "$BOOT/tls-pid"
}

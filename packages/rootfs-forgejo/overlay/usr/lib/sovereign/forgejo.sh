# shellcheck shell=sh disable=SC2034,SC2154
# What the programs of this service share. Sourced after data.sh.

home=$DATA/forgejo
# Of the service's account alone, in memory.
settings=${SOVEREIGN_SETTINGS:-/run/forgejo}
FORGEJO=${SOVEREIGN_FORGEJO:-/usr/bin/forgejo}

# http TOKEN|basic METHOD PATH [BODY]: sets $answer to the status line's number; all of the answer is in the file
# $answer_file until `http_end`. By the shell's own means: credentials are in no argument. The connection stays open
# until the answer is there, since Forgejo drops what a client that has hung up asked for.
# `basic` is $admin with $password.
http() {
	case $1 in
	basic) credentials="Basic $(printf '%s:%s' "$admin" "$password" | base64 | tr -d '\n')" ;;
	*) credentials="token $1" ;;
	esac
	answer_file=$settings/answer.$$
	rm -f "$settings/ask.$$"
	: >"$answer_file"
	mkfifo "$settings/ask.$$" || return 1
	{
		nc 127.0.0.1 3000 <"$settings/ask.$$" >"$answer_file" 2>/dev/null
		rm -f "$settings/ask.$$"
	} &
	# In a shell of its own: nobody may be there to write to.
	(
		printf '%s %s HTTP/1.0\r\nHost: localhost\r\nAuthorization: %s\r\nContent-Type: application/json\r\n' \
			"$2" "$3" "$credentials"
		body=${4-}
		printf 'Content-Length: %s\r\n\r\n%s' "${#body}" "$body"
		wait_for_answer
	) >"$settings/ask.$$"
	wait $!
	read -r _ answer _ <"$answer_file"
}

http_end() {
	rm -f "$settings/ask.$$" "$settings/answer.$$"
}

# wait_for_answer: until it is there, nc has ended, or 20 s.
wait_for_answer() {
	tries=0
	while [ $tries -lt 200 ] && [ -p "$settings/ask.$$" ] && ! grep -q '^HTTP' "$answer_file"; do
		tries=$((tries + 1))
		sleep 0.1
	done
}

# shellcheck shell=bash
# A daemon that is asked over HTTP, at port ADMIN: load it after common.

url()
{
	echo "http://127.0.0.1:$ADMIN$1"
}

# admin_start [MANNER...]: proxyd with an admin page, a frontend `web` with a server that is up, an origin of that manner, and
# one that is not.
admin_start()
{
	[ $# -gt 0 ] || set -- answer hello
	read -r ADMIN front up down <<<"$(free_port 4)"
	origin origin "127.0.0.1:$up" "$@"
	start_proxyd -w 2 <<-END
	global: {admin: {bind: "127.0.0.1:$ADMIN"}, log: {level: info}}
	frontends:
	  web: {bind: "127.0.0.1:$front", backend: app}
	backends:
	  app:
	    servers: {up: "127.0.0.1:$up", down: "127.0.0.1:$down"}
	    check: {inter: 200ms, rise: 1, fall: 1}
	END
	expect_log 'is down: cannot connect'
	wait_until 'curl -sf "$(url /healthz)"' 5
}

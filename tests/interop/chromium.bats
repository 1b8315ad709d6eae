#!/usr/bin/env bats
# The dashboard in a real browser: what it shows, how soon, on a phone, with a thousand servers, and by keyboard.

load ../helpers/common
load ../helpers/admin
load ../helpers/browser

setup_file()
{
	cd "$BATS_FILE_TMPDIR" && : >pids && browser_start
}

teardown_file()
{
	cd "$BATS_FILE_TMPDIR" && browser_end
}

# page CONDITION: something that is true in the page.
page()
{
	[ "$(browser_js "return Boolean($1)")" = true ]
}

# A frontend `web` over three servers, of which `gone` is down, and a service.
page_start()
{
	read -r ADMIN front echo one two gone <<<"$(free_port 6)"
	origin one "127.0.0.1:$one" echo
	ONE=$ORIGIN_PID
	origin two "127.0.0.1:$two" echo
	expect_log 'is down: '
	start_proxyd -w 2 --admin "127.0.0.1:$ADMIN" <<-END
	frontends:
	  web: {bind: "127.0.0.1:$front", backend: app}
	  talk: {bind: "127.0.0.1:$echo", service: echo}
	backends:
	  app:
	    servers: {one: "127.0.0.1:$one", two: "127.0.0.1:$two", gone: "127.0.0.1:$gone"}
	    check: {inter: 200ms, rise: 1, fall: 1}
	END
	wait_until 'curl -sf "$(url /healthz)"' 5
	browser_go "$(url /)"
	wait_until 'page "document.querySelectorAll(\".server\").length == 3"' 10
}

# What the page says of a server: its state as text, and its colour.
state_of()
{
	browser_js "const row = [...document.querySelectorAll('.server')].find(r => r.querySelector('.name').textContent === '$1');
		return row ? row.querySelector('.state').textContent + ' ' + row.dataset.tone : 'none'" | tr -d '"'
}

@test "chromium: the page loads from us alone, without an error, and says what is so" {
	page_start
	wait_until '[ "$(state_of gone)" = "down bad" ]' 5
	assert_eq "$(state_of one)" "up good"
	page "document.getElementById('problem-list').textContent.includes('app/gone')"
	page "document.getElementById('frontends').textContent.includes('web')"
	page "document.getElementById('workers').querySelectorAll('.row').length == 3"
	page "document.getElementById('events').textContent.includes('app/gone')"
	# Nothing was fetched from elsewhere.
	page "performance.getEntriesByType('resource').every(e => e.name.startsWith(location.origin) || e.name.startsWith('data:'))"
	client "127.0.0.1:$front" echo 1000k
	wait_until 'page "/[1-9]/.test(document.querySelector(\".tile .sub\").textContent.split(\"·\")[1])"' 5
	assert_eq "$(browser_errors)" ""
}

@test "chromium: a server that goes down is red, and called down, within 2 s; and green again" {
	local start

	page_start
	wait_until '[ "$(state_of one)" = "up good" ]' 5
	kill "$ONE"
	wait_until "! alive $ONE" 5
	start=$(now_ms)
	wait_until '[ "$(state_of one)" = "down bad" ]' 5
	[ $(($(now_ms) - start)) -lt $((2000 * SLOW + 500)) ]
	# Somebody who does not look is told.
	wait_until 'page "document.getElementById(\"said\").textContent.includes(\"app/one is down\")"' 3
	page "getComputedStyle(document.querySelector('.server')).backgroundColor !== getComputedStyle(document.querySelector('.backend')).backgroundColor"
	origin one "127.0.0.1:$one" echo
	wait_until '[ "$(state_of one)" = "up good" ]' 5
	ctl set server app/two state maint
	wait_until '[ "$(state_of two)" = "maint idle" ]' 5
	assert_eq "$(browser_errors)" ""
}

@test "chromium: 380 pixels are enough; it is dark or light, after the system or as asked" {
	page_start
	browser_size 380 800
	wait_until 'page "innerWidth == 380"' 3
	page "document.documentElement.scrollWidth <= innerWidth"
	page "[...document.querySelectorAll('main *')].every(e => e.getBoundingClientRect().right <= innerWidth + 1 || e.closest('svg') || e.closest('.hidden'))"
	page "document.querySelector('.server .name').getBoundingClientRect().width > 40"
	browser_size 1280 900
	wait_until 'page "innerWidth == 1280 && document.documentElement.scrollWidth <= innerWidth"' 3
	browser_theme dark
	wait_until 'page "getComputedStyle(document.body).backgroundColor === \"rgb(18, 19, 21)\""' 3
	browser_theme light
	wait_until 'page "getComputedStyle(document.body).backgroundColor === \"rgb(246, 246, 243)\""' 3
	browser_js "document.getElementById('theme').click()" >/dev/null
	page "getComputedStyle(document.body).backgroundColor === 'rgb(18, 19, 21)'"
	assert_eq "$(browser_js "return localStorage.getItem('theme')")" '"dark"'
}

@test "chromium: Tab goes from the filter through the tables, arrows walk in them, Enter opens" {
	page_start
	browser_key '/'
	page "document.activeElement.id === 'filter'"
	browser_key gone
	wait_until 'page "document.querySelectorAll(\".server\").length == 1"' 3
	browser_key '\uE00C'
	wait_until 'page "document.querySelectorAll(\".server\").length == 3"' 3
	browser_key '\uE004'
	page "document.activeElement.id === 'theme'"
	browser_key '\uE004'
	page "document.activeElement.closest('#frontends') && document.activeElement.textContent.includes('web')"
	browser_key '\uE015'
	page "document.activeElement.textContent.includes('talk')"
	browser_key '\uE004'
	page "document.activeElement.className === 'opener' && document.activeElement.getAttribute('aria-expanded') === 'true'"
	browser_key '\uE004'
	page "document.activeElement.classList.contains('server')"
	browser_key '\uE015\uE007'
	wait_until 'page "document.getElementById(\"detail\").open"' 3
	page "document.getElementById('detail-name').textContent.startsWith('app/')"
	wait_until 'page "document.getElementById(\"detail-facts\").textContent.includes(\"127.0.0.1:\")"' 3
	browser_key '\uE00C'
	wait_until 'page "!document.getElementById(\"detail\").open"' 3
	assert_eq "$(browser_errors)" ""
}

@test "chromium: when proxyd does not answer any more, the page says so, and since when" {
	page_start
	kill -STOP "$(role_pids admin)"
	expect_log 'admin \(pid [0-9]+\) (is silent|was killed)'
	kill -STOP "$PROXYD_PID"
	wait_until 'page "!document.getElementById(\"banner\").hidden && document.getElementById(\"banner\").textContent.includes(\"has not answered since\")"' 10
	page "document.documentElement.classList.contains('stale')"
	kill -CONT "$PROXYD_PID"
	wait_until 'page "document.getElementById(\"banner\").hidden && !document.documentElement.classList.contains(\"stale\")"' 10
}

@test "chromium: a thousand servers: only those in sight are drawn, all can be found; markup in a text stays text" {
	local i

	read -r ADMIN front <<<"$(free_port 2)"
	{
		echo "frontends: {web: {bind: \"127.0.0.1:$front\", backend: app}}"
		echo 'backends: {app: {servers: {'
		for i in $(seq 1000); do echo "s$i: \"127.0.0.1:1\","; done
		echo '}}}'
	} >many.yaml
	start_proxyd -w 2 --admin "127.0.0.1:$ADMIN" <many.yaml
	wait_until 'curl -sf "$(url /healthz)"' 5
	ctl set server app/s7 state '<img/src=x>' || true
	ctl reload --confirm 1m
	browser_go "$(url /)"
	wait_until 'page "document.querySelector(\".opener\")"' 10
	browser_js "document.querySelector('.opener').click()" >/dev/null
	wait_until 'page "document.querySelectorAll(\".server\").length > 5"' 3
	page "document.querySelectorAll('.server').length < 120"
	page "document.querySelector('.servers').getAttribute('aria-rowcount') === '1000'"
	browser_js "document.querySelector('.server').focus()" >/dev/null
	browser_key '\uE010'
	wait_until 'page "document.activeElement.textContent.includes(\"s1000\")"' 3
	browser_js "const f = document.getElementById('filter'); f.value = 's777'; f.dispatchEvent(new Event('input'))" >/dev/null
	wait_until 'page "document.querySelectorAll(\".server\").length == 1"' 3
	page "document.querySelector('.server .name').textContent === 's777'"
	page "document.getElementById('events').querySelectorAll('img').length === 0"
	assert_eq "$(browser_errors)" ""
}

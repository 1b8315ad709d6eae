# shellcheck shell=bash
# Headless Chromium through chromedriver's WebDriver protocol: curl and jq are all it takes.
#
#   browser_start      a browser of 1280 x 900, for all tests of a suite: from setup_file, in its directory
#   browser_end        from teardown_file
#   browser_go URL     as a browser that was just started would
#   browser_js CODE    runs it in the page, prints what it returns as JSON
#   browser_size WIDTH HEIGHT
#   browser_key KEYS   as a person would type them; \uE004 is Tab, \uE015 Down, \uE007 Enter
#   browser_theme light|dark
#   browser_shot FILE  of all that is in sight
#   browser_errors     what the page's console has of errors since it was asked last

# driver METHOD PATH [BODY]: prints the value of the answer.
driver()
{
	curl -s -m 30 -X "$1" -H 'Content-Type: application/json' ${3:+-d "$3"} "http://127.0.0.1:$DRIVER$2" >driver.json
	if jq -e '.value | type == "object" and has("error")' driver.json >/dev/null; then
		jq -r .value.message driver.json >&2
		return 1
	fi
	jq -c .value driver.json
}

in_page()
{
	driver POST "/session/$SESSION/$1" "$2"
}

browser_start()
{
	local options

	DRIVER=$(free_port)
	# Where a container is root's, Chromium has no sandbox to offer.
	options=$(jq -nc --arg profile "$PWD/profile" '{capabilities: {alwaysMatch: {
		"goog:loggingPrefs": {browser: "ALL"},
		"goog:chromeOptions": {args: ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
			"--hide-scrollbars", "--disable-extensions", "--no-first-run", "--user-data-dir=\($profile)",
			"--window-size=1280,900"]}}}}')
	HOME=$PWD spawn chromedriver chromedriver "--port=$DRIVER"
	wait_until 'driver GET /status | jq -e .ready' 15
	SESSION=$(driver POST /session "$options" | jq -r .sessionId)
	DRIVER_PID=$SPAWNED_PID
	export DRIVER SESSION DRIVER_PID
	[ -n "$SESSION" ]
}

browser_end()
{
	driver DELETE "/session/$SESSION" >/dev/null || true
	kill "$DRIVER_PID" 2>/dev/null || true
	wait_until "! alive $DRIVER_PID" 5
}

browser_go()
{
	in_page url '{"url":"about:blank"}' >/dev/null
	browser_errors >/dev/null
	devtools Emulation.clearDeviceMetricsOverride '{}' >/dev/null
	devtools Emulation.setEmulatedMedia '{"features":[]}' >/dev/null
	in_page url "$(jq -nc --arg url "$1" '{url: $url}')" >/dev/null
}

browser_js()
{
	in_page execute/sync "$(jq -nc --arg code "$1" '{script: $code, args: []}')"
}

devtools()
{
	in_page goog/cdp/execute "$(jq -nc --arg cmd "$1" --argjson params "$2" '{cmd: $cmd, params: $params}')"
}

browser_size()
{
	devtools Emulation.setDeviceMetricsOverride \
		"{\"width\":$1,\"height\":$2,\"deviceScaleFactor\":1,\"mobile\":false}" >/dev/null
}

browser_theme()
{
	devtools Emulation.setEmulatedMedia \
		"{\"features\":[{\"name\":\"prefers-color-scheme\",\"value\":\"$1\"}]}" >/dev/null
}

browser_key()
{
	local keys

	keys=$(printf '%b' "$1")
	in_page actions "$(jq -nc --arg keys "$keys" '{actions: [{type: "key", id: "keys", actions:
		[$keys | split("")[] | {type: "keyDown", value: .}, {type: "keyUp", value: .}]}]}')" >/dev/null
}

browser_shot()
{
	devtools Page.captureScreenshot '{"format":"png"}' | jq -r .data | base64 -d >"$1"
}

browser_errors()
{
	in_page se/log '{"type":"browser"}' | jq -r '.[] | select(.level == "SEVERE") | .message'
}

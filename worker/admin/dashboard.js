"use strict";
/* The dashboard. It polls /api/v1/dashboard once a second while it is seen, keeps what it shows in rows that it changes in
 * place, and draws only those servers that are in sight. Whatever comes from outside becomes text, never markup. */
(() => {
const STEPS = 60, STEP_S = 5, POLL_MS = 1000, LATE_MS = 4000, EVENTS_SHORT = 14, OPEN_MOST = 24, BROKEN_MOST = 12;
const SVG = "http://www.w3.org/2000/svg";
/* By number, as state.c has them. */
const STATES = [
	["up", "good", "●", 5], ["down", "bad", "✕", 0], ["drain", "idle", "◐", 2], ["maint", "idle", "‖", 3],
	["no check", "good", "○", 5], ["absent", "info", "·", 6], ["ejected", "warn", "▲", 1],
].map(([label, tone, sign, rank]) => ({ label, tone, sign, rank }));
const SIGNS = { good: "●", bad: "✕", warn: "▲", info: "·" };

const $ = (id) => document.getElementById(id);
const model = {
	step: 0, event: 0, head: null, daemon: { key: "daemon", label: "The whole daemon" }, frontends: new Map(),
	backends: new Map(), servers: new Map(), workers: [], events: [], heardAt: 0, asked: 0,
};
const view = { filter: "", allEvents: false, opened: new Map(), detail: null, said: new Map() };

/* ------------------------------------------------------------------ small things */

function el(tag, name, text) {
	const node = document.createElement(tag);
	if (name) node.className = name;
	if (text !== undefined) node.textContent = text;
	return node;
}

function svg(tag, attributes) {
	const node = document.createElementNS(SVG, tag);
	for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
	return node;
}

/* Only what differs is touched. */
function put(node, text) {
	if (node.shown !== text) { node.shown = text; node.textContent = text; }
}
function attr(node, name, value) {
	if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}
function zero(node, is) {
	if (node.isZero !== is) { node.isZero = is; node.classList.toggle("zero", is); }
}

function short(n, digits = 1) {
	if (n < 1000) return n < 10 && n % 1 !== 0 ? n.toFixed(digits) : String(Math.round(n));
	const units = ["k", "M", "G", "T", "P"];
	let unit = -1;
	while (n >= 999.5 && unit < units.length - 1) { n /= 1000; unit++; }
	return (n < 9.95 ? n.toFixed(1) : Math.round(n)) + units[unit];
}
const bytes = (n) => n < 1000 ? Math.round(n) + " B" : short(n).replace(/([kMGTP])$/, " $1B");
const perSecond = (n) => bytes(n) + "/s";
function micros(us) {
	if (!us) return "–";
	if (us < 1000) return us + " µs";
	return us < 1e6 ? (us / 1000).toFixed(us < 1e4 ? 1 : 0) + " ms" : (us / 1e6).toFixed(1) + " s";
}
function span(s) {
	if (s < 60) return s + " s";
	if (s < 3600) return Math.floor(s / 60) + " m";
	if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " m";
	return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
}
const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour12: false });
const compare = new Intl.Collator(undefined, { numeric: true }).compare;
const matches = (text) => view.filter === "" || text.toLowerCase().includes(view.filter);

/* ------------------------------------------------------------------ what came */

/* The last five minutes: of a thing that is new all at once, later what was added. */
function remember(thing, steps, added) {
	if (!thing.curves) thing.curves = { rate: Array(STEPS).fill(0), bytes: Array(STEPS).fill(0), p99: Array(STEPS).fill(0), any: false };
	if (added <= 0) return;
	const count = Array.isArray(steps) ? steps.length / 4 : 0;
	const { rate, bytes: carried, p99 } = thing.curves;
	for (let i = 0; i < Math.min(added, STEPS) - count; i++) { rate.push(0); carried.push(0); p99.push(0); }
	for (let i = 0; i < count; i++) {
		rate.push(steps[4 * i]); carried.push(steps[4 * i + 1] + steps[4 * i + 2]); p99.push(steps[4 * i + 3]);
	}
	for (const curve of [rate, carried, p99]) curve.splice(0, curve.length - STEPS);
	thing.curves.any = rate.some(Boolean) || carried.some(Boolean);
	thing.curved = model.step + added;
}

function merge(map, rows, keyOf, fill, added) {
	const seen = new Set();
	for (const row of rows) {
		const key = keyOf(row);
		let thing = map.get(key);
		seen.add(key);
		if (!thing) map.set(key, thing = { key });
		fill(thing, row);
		remember(thing, row[row.length - 1], added);
	}
	for (const key of map.keys()) if (!seen.has(key)) map.delete(key);
}

function take(data) {
	const anew = model.head && (data.step < model.step || data.uptime_s + 5 < model.head.uptime_s);
	const added = anew || !model.step ? STEPS : data.step - model.step;
	if (anew) { model.events = []; model.event = 0; }
	Object.assign(model.daemon, zip(["active", "total", "failed", "refused", "lost", "rate", "in", "out"], data.daemon));
	remember(model.daemon, data.daemon[8], added);
	merge(model.frontends, data.frontends, (r) => r[0], (f, r) => Object.assign(f, { kind: "frontend", label: r[0] },
		zip(["name", "backend", "active", "total", "failed", "refused", "lost", "bytesIn", "bytesOut", "rate", "in", "out"], r)), added);
	merge(model.backends, data.backends, (r) => r[0], (b, r) => Object.assign(b, { kind: "backend", label: r[1] },
		zip(["place", "name", "active", "queued", "total", "failed", "queueFull", "bytesIn", "bytesOut", "panic", "rate", "in", "out"], r)), added);
	merge(model.servers, data.servers, (r) => r[0], (s, r) => Object.assign(s, { kind: "server" },
		zip(["place", "backend", "name", "state", "active", "total", "failed", "bytesIn", "bytesOut", "weight", "maxconn",
			"backup", "since", "why", "rate", "in", "out"], r)), added);
	model.workers = data.workers.map((r) => zip(["number", "pid", "generation", "state", "active", "accepted", "restarts", "silent"], r));
	for (const r of data.events) {
		model.events.push(zip(["id", "at", "kind", "level", "object", "text"], r));
		model.event = r[0];
	}
	model.events.splice(0, model.events.length - 256);
	gather();
	model.head = data;
	model.step = data.step;
}

function zip(names, values) {
	const thing = {};
	names.forEach((name, i) => { thing[name] = values[i]; });
	return thing;
}

/* Servers to their backends, the broken ones first; what changed is said. */
function gather() {
	for (const backend of model.backends.values()) { backend.all = []; backend.counts = Array(STATES.length).fill(0); }
	for (const server of model.servers.values()) {
		const backend = model.backends.get(server.backend);
		if (!backend) continue;
		server.label = backend.name + "/" + server.name;
		server.is = STATES[server.state];
		backend.all.push(server);
		backend.counts[server.state]++;
		if (server.was !== undefined && server.was !== server.state) view.said.set(server.label, server.is.label);
		server.was = server.state;
	}
	for (const backend of model.backends.values()) {
		const usable = backend.all.some((s) => (s.is.tone === "good" || s.is.label === "ejected") && s.weight > 0);
		const order = backend.all.map((s) => s.place + ":" + s.is.rank).join();
		backend.dead = backend.all.length > 0 && !usable;
		backend.broken = backend.counts[1] + backend.counts[6];
		if (order !== backend.order) {
			backend.order = order;
			backend.sorted = backend.all.slice().sort((a, b) => a.is.rank - b.is.rank || compare(a.name, b.name));
		}
	}
}

/* ------------------------------------------------------------------ curves */

function sparkline(name) {
	const node = svg("svg", { viewBox: "0 0 59 20", preserveAspectRatio: "none", role: "img" });
	const parts = { area: svg("path", { class: "area" }), line: svg("path", { class: name || "curve" }) };
	node.append(svg("path", { class: "floor", d: "M0 19.5H59" }), parts.area, parts.line);
	node.parts = parts;
	return node;
}

function draw(node, thing, which, what, format) {
	const { curves } = thing;
	if (!curves || (node.thing === thing.key && node.drawn === thing.curved)) return;
	node.thing = thing.key;
	node.drawn = thing.curved;
	const values = curves[which];
	const most = Math.max(...values);
	attr(node, "aria-label", most > 0 ? `${what}, last five minutes, at most ${format(most)}` : `${what}: nothing in the last five minutes`);
	if (most <= 0) { attr(node.parts.line, "d", ""); attr(node.parts.area, "d", ""); return; }
	const path = values.map((v, i) => `${i ? "L" : "M"}${i} ${(19 - 17 * v / most).toFixed(1)}`).join("");
	attr(node.parts.line, "d", path);
	attr(node.parts.area, "d", path + "L59 19.5L0 19.5Z");
}

/* A bar of parts, each with a tone. */
function bar(parts) {
	const node = svg("svg", { class: "parts", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" });
	node.key = "";
	node.set = (list) => {
		const key = list.map(([tone, n]) => tone + n).join();
		if (key === node.key) return;
		node.key = key;
		const all = list.reduce((sum, [, n]) => sum + n, 0) || 1;
		let x = 0;
		node.replaceChildren(...list.filter(([, n]) => n > 0).map(([tone, n]) => {
			const width = Math.max(100 * n / all, 3);
			const rect = svg("rect", { x, y: 0, width, height: 6, class: "fill-" + tone });
			x += width;
			return rect;
		}));
	};
	node.set(parts);
	return node;
}

function stateNode(node, is) {
	put(node, is.label);
	attr(node, "data-sign", is.sign);
	const name = "cell state " + is.tone;
	if (node.className !== name) node.className = name;
}

/* ------------------------------------------------------------------ the whole daemon */

const tiles = (() => {
	const made = {};
	for (const [key, title, which, format] of [["now", "Connections", "rate", (n) => short(n) + "/s"],
		["traffic", "Throughput", "bytes", perSecond], ["connect", "Connect time, p99", "p99", micros], ["servers", "Servers"]]) {
		const tile = el("div", "tile");
		const parts = { big: el("p", "big", "–"), sub: el("p", "sub", "") };
		tile.append(el("h2", "", title), parts.big, parts.sub);
		if (which) tile.append(parts.spark = sparkline());
		else tile.append(parts.bar = bar([["line", 1]]));
		parts.draw = () => which && draw(parts.spark, model.daemon, which, title, format);
		$("tiles").append(tile);
		made[key] = parts;
	}
	return made;
})();

function showTiles() {
	const { daemon } = model;
	const counts = Array(STATES.length).fill(0);
	for (const server of model.servers.values()) counts[server.state]++;
	const p99 = daemon.curves.p99.filter(Boolean);
	put(tiles.now.big, short(daemon.active));
	put(tiles.now.sub, `${short(daemon.rate)}/s new · ${short(daemon.total)} in all`);
	put(tiles.traffic.big, perSecond(daemon.in + daemon.out));
	put(tiles.traffic.sub, `in ${perSecond(daemon.in)} · out ${perSecond(daemon.out)}`);
	put(tiles.connect.big, micros(daemon.curves.p99[STEPS - 1] || 0));
	put(tiles.connect.sub, p99.length ? `worst of five minutes ${micros(Math.max(...p99))}` : "no connects in five minutes");
	const up = counts[0] + counts[4];
	const rest = [1, 6, 2, 3].filter((i) => counts[i]).map((i) => `${counts[i]} ${STATES[i].label}`);
	put(tiles.servers.big, model.servers.size ? `${up} / ${model.servers.size}` : "–");
	put(tiles.servers.sub, rest.length ? rest.join(" · ") : model.servers.size ? "all up" : "only services");
	tiles.servers.bar.set([["bad", counts[1]], ["warn", counts[6]], ["idle", counts[2] + counts[3]], ["good", up]]);
	for (const tile of Object.values(tiles)) tile.draw();
}

/* ------------------------------------------------------------------ what is broken */

function problems() {
	const list = [];
	const add = (rank, key, label, tone, object, what, since, thing) =>
		list.push({ rank, key, label, tone, object, what, since, thing });
	for (const b of model.backends.values()) {
		const users = [...model.frontends.values()].filter((f) => f.backend === b.place).map((f) => f.name);
		if (b.dead)
			add(0, "dead:" + b.key, "no server", "bad", b.name, `no server is left${users.length ? "; clients of " + users.slice(0, 4).join(", ") + (users.length > 4 ? ", …" : "") + " are turned away" : ""}`, null, b);
		else if (b.panic)
			add(1, "panic:" + b.key, "panic", "bad", b.name, "only ejected servers are left; they serve all the same", null, b);
		if (b.queued > 0)
			add(3, "queue:" + b.key, "queue", "warn", b.name, `${b.queued} clients wait for a server`, null, b);
		if (b.counts[1] > 6) {
			const first = b.sorted[0];
			add(1, "many:" + b.key, "down", "bad", b.name, `${b.counts[1]} of ${b.all.length} servers are down; ${first.name}: ${first.why || "no check says why"}`, null, b);
		} else for (const s of b.sorted.slice(0, b.counts[1]))
			add(1, "down:" + s.key, "down", "bad", s.label, s.why || "", s.since, s);
		for (const s of b.counts[6] > 6 ? [] : b.all.filter((x) => x.state === 6))
			add(2, "ejected:" + s.key, "ejected", "warn", s.label, "connects to it fail; it is left out for a while", null, s);
		if (b.counts[6] > 6) add(2, "ejected:" + b.key, "ejected", "warn", b.name, `${b.counts[6]} servers are left out for a while`, null, b);
	}
	for (const w of model.workers)
		if (w.silent > 2000) add(2, "hung:" + w.pid, "silent", "bad", `worker ${w.number}`, `has given no sign of life for ${span(Math.floor(w.silent / 1000))}`, null);
	const reload = model.events.findLast((e) => e.kind === "reload");
	if (reload && reload.level === "bad")
		add(3, "reload", "reload", "warn", "configuration", reload.text, Math.max(0, Math.floor((model.head.now - reload.at) / 1000)));
	return list.sort((a, b) => a.rank - b.rank || compare(a.object, b.object));
}

/* Rows by key, in the order of things; make returns a row with update(thing). */
function reconcile(parent, things, keyOf, make) {
	parent.rows = parent.rows || new Map();
	const seen = new Set();
	let at = null;
	for (const thing of things) {
		const key = keyOf(thing);
		let row = parent.rows.get(key);
		seen.add(key);
		if (!row) parent.rows.set(key, row = make(thing));
		row.update(thing);
		const next = at ? at.nextSibling : parent.head ? parent.head.nextSibling : parent.firstChild;
		if (next !== row.node) parent.insertBefore(row.node, next);
		at = row.node;
	}
	for (const [key, row] of parent.rows) if (!seen.has(key)) { row.node.remove(); parent.rows.delete(key); }
}

function showProblems() {
	const list = problems().filter((p) => matches(p.object));
	const fine = [{ key: "fine" }];
	model.broken = list.filter((p) => p.tone === "bad").length;
	reconcile($("problem-list"), list.length ? list : view.filter ? [] : fine, (p) => p.key, (p) => {
		const node = el("li", p.key === "fine" ? "fine" : "");
		if (p.key === "fine") { node.append(el("span", "state good")); node.firstChild.textContent = "Nothing is broken"; node.firstChild.setAttribute("data-sign", "✓"); return { node, update() {} }; }
		const parts = { state: el("span"), what: el("span", "what"), name: el("b"), text: el("span"), since: el("span", "since") };
		parts.what.append(parts.name, parts.text);
		node.append(parts.state, parts.what, parts.since);
		return { node, update(now) {
			stateNode(parts.state, { label: now.label, tone: now.tone, sign: SIGNS[now.tone] });
			put(parts.name, now.object);
			put(parts.text, now.what ? "  " + now.what : "");
			put(parts.since, now.since === null || now.since === undefined ? "" : span(now.since));
		} };
	});
	$("problems").hidden = list.length === 0 && view.filter !== "";
}

/* ------------------------------------------------------------------ rows */

/* Columns: [class, heading, what(thing) or a sparkline]. */
function header(columns, name) {
	const row = el("div", "row head " + (name || ""));
	row.setAttribute("role", "row");
	for (const [kind, title] of columns) {
		const cell = el("div", "cell " + kind, title);
		cell.setAttribute("role", "columnheader");
		row.append(cell);
	}
	return row;
}

function cells(row, columns) {
	return columns.map(([kind, title, show]) => {
		const cell = el("div", "cell " + kind);
		cell.setAttribute("role", "cell");
		row.append(cell);
		if (!show.curve) return (thing) => show(thing, cell);
		const node = sparkline();
		cell.append(node);
		return (thing) => draw(node, thing, show.curve, title, show.format);
	});
}

const text = (format) => (thing, cell) => put(cell, format(thing));
const number = (get, format = short) => (thing, cell) => { const n = get(thing); put(cell, format(n)); zero(cell, !n); };
const failing = (get) => (thing, cell) => { const n = get(thing); put(cell, short(n)); zero(cell, !n); };
const curve = (which, format) => ({ curve: which, format });
const RATE = curve("rate", (n) => short(n) + "/s"), P99 = curve("p99", micros), THROUGH = curve("bytes", perSecond);

/* One row of a table can be reached with Tab, the others with the arrow keys. */
function walkable(row, open) {
	row.tabIndex = -1;
	row.addEventListener("click", () => { if (!String(getSelection())) open(); });
	row.addEventListener("keydown", (event) => {
		if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); }
	});
}

const frontendState = (f) => {
	if (f.backend < 0) return { label: "service", tone: "good", sign: "●" };
	const backend = model.backends.get(f.backend);
	if (!backend || backend.dead) return { label: "no server", tone: "bad", sign: "✕" };
	return backend.broken ? { label: "degraded", tone: "warn", sign: "▲" } : { label: "serves", tone: "good", sign: "●" };
};
const FRONTEND = [
	["name", "Name", text((f) => f.name)], ["state", "State", (f, cell) => stateNode(cell, frontendState(f))],
	["num now", "Now", number((f) => f.active)], ["num rate", "New/s", number((f) => f.rate)],
	["num mid", "In", number((f) => f.in, perSecond)], ["num mid", "Out", number((f) => f.out, perSecond)],
	["num mid wide", "Failed", failing((f) => f.failed)], ["num mid wide", "Refused", failing((f) => f.refused)],
	["mid", "New/s, 5 min", RATE], ["mid wide", "Throughput", THROUGH],
];

function showFrontends() {
	const table = $("frontends");
	if (!table.head) {
		table.append(table.head = header(FRONTEND));
		arrows(table);
	}
	const rank = (f) => ({ bad: 0, warn: 1, good: 2 })[frontendState(f).tone];
	const list = [...model.frontends.values()].filter((f) => matches(f.name))
		.sort((a, b) => rank(a) - rank(b) || compare(a.name, b.name));
	reconcile(table, list, (f) => f.key, (made) => {
		const node = el("div", "row");
		node.setAttribute("role", "row");
		walkable(node, () => detail(model.frontends.get(made.key)));
		const update = cells(node, FRONTEND);
		return { node, update(f) { for (const set of update) set(f); } };
	});
	oneStop(table);
	put($("n-frontends"), String(model.frontends.size));
	$("frontends-section").hidden = list.length === 0;
}

/* ------------------------------------------------------------------ backends and their servers */

const SERVER = [
	["state", "State", (s, cell) => stateNode(cell, s.is)],
	["name", "Name", (s, cell) => { put(cell, s.name); if (s.backup) put(cell, s.name + "  backup"); }],
	["num now", "Now", number((s) => s.active)], ["num rate", "New/s", number((s) => s.rate)],
	["num mid", "In", number((s) => s.in, perSecond)], ["num mid", "Out", number((s) => s.out, perSecond)],
	["num mid wide", "Failed", failing((s) => s.failed)], ["num mid wide", "Weight", number((s) => s.weight)],
	["num mid wide", "Since", text((s) => span(s.since))],
	["mid", "New/s, 5 min", RATE], ["mid wide", "Connect p99", P99],
];

/* In the columns of the servers; how many wait stands beside the states. */
const BACKEND = [
	["num now", "Now", number((b) => b.active)], ["num mid rate", "New/s", number((b) => b.rate)],
	["num mid", "In", number((b) => b.in, perSecond)], ["num mid", "Out", number((b) => b.out, perSecond)],
	["num mid wide", "Failed", failing((b) => b.failed)], ["num mid wide", "", text(() => "")],
	["num mid wide", "p99", text(() => "")],
	["mid", "New/s, 5 min", RATE], ["mid wide", "Connect p99", P99],
];

function mixText(b) {
	const up = b.counts[0] + b.counts[4];
	const rest = [1, 6, 2, 3].filter((i) => b.counts[i]).map((i) => `${b.counts[i]} ${STATES[i].label}`);
	const queued = b.queued ? [`${short(b.queued)} wait`] : [];
	return [`${up} of ${b.all.length} up`, ...rest, ...queued].join(" · ");
}

function makeBackend(made) {
	const node = el("div", "backend");
	const row = el("div", "row");
	const opener = el("button", "opener");
	const name = el("span");
	const mix = el("div", "mix cell");
	const counts = { bar: bar([]), text: el("span", "cell") };
	const who = el("div", "who");
	const list = el("div", "servers");
	opener.type = "button";
	opener.append(name);
	mix.append(counts.bar, counts.text);
	who.append(opener, mix);
	row.append(who);
	const update = cells(row, BACKEND);
	list.setAttribute("role", "table");
	const rest = el("button", "plain rest");
	rest.type = "button";
	rest.addEventListener("click", () => { view.opened.set(self.key, true); show(); });
	node.append(row, list, rest);
	const self = { node, list, key: made.key, pool: new Map(), active: null, shown: [] };
	opener.addEventListener("click", () => { view.opened.set(self.key, !self.open); show(); });
	arrows(list, self);
	self.update = (b) => {
		put(name, b.name);
		put(counts.text, mixText(b));
		counts.bar.set([["bad", b.counts[1]], ["warn", b.counts[6]], ["idle", b.counts[2] + b.counts[3]], ["good", b.counts[0] + b.counts[4]]]);
		counts.text.className = "cell " + (b.dead || b.counts[1] ? "bad" : b.counts[6] ? "warn" : "");
		for (const set of update) set(b);
		const own = matches(b.name);
		self.shown = view.filter && !own ? b.sorted.filter((s) => matches(s.label)) : b.sorted;
		self.open = view.filter && !own ? true : view.opened.get(b.key) ?? (b.all.length <= OPEN_MOST || b.broken > 0);
		/* Of many, those that are broken, until somebody asks for all. */
		if (self.shown === b.sorted && b.all.length > OPEN_MOST && !view.opened.has(b.key))
			self.shown = b.sorted.filter((s) => s.is.rank < 2).slice(0, BROKEN_MOST);
		rest.hidden = !self.open || self.shown.length === b.all.length || Boolean(view.filter && !own);
		put(rest, `Show all ${b.all.length} servers`);
		attr(opener, "aria-expanded", String(Boolean(self.open)));
		attr(list, "aria-label", "Servers of " + b.name);
		attr(list, "aria-rowcount", String(self.shown.length));
		list.hidden = !self.open || self.shown.length === 0;
		window_(self);
	};
	return self;
}

function makeServer(self) {
	const node = el("div", "row server");
	node.setAttribute("role", "row");
	const row = { node, update: cells(node, SERVER), server: null };
	walkable(node, () => row.server && detail(row.server));
	node.addEventListener("focus", () => { self.active = row.server.key; });
	return row;
}

/* Those rows exist that are in sight, and the one that has the focus. */
function window_(self) {
	const { list, shown, pool } = self;
	const height = parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row"));
	const size = self.open ? shown.length * height : 0;
	if (self.size !== size) { self.size = size; list.style.height = size + "px"; }
	const top = list.hidden ? 0 : list.getBoundingClientRect().top;
	const first = Math.max(0, Math.floor((-top - 300) / height));
	const last = Math.min(shown.length, Math.ceil((innerHeight - top + 300) / height));
	const keep = new Set();
	if (self.open && !list.hidden) for (let i = 0; i < shown.length; i++) {
		const server = shown[i];
		if ((i >= first && i < last) || server.key === self.active || (i === 0 && self.active === null)) {
			let row = pool.get(server.key);
			keep.add(server.key);
			if (!row) { pool.set(server.key, row = makeServer(self)); list.append(row.node); }
			row.server = server;
			for (const set of row.update) set(server);
			attr(row.node, "data-tone", server.is.tone);
			attr(row.node, "aria-rowindex", String(i + 1));
			if (row.at !== i * height) { row.at = i * height; row.node.style.transform = `translateY(${row.at}px)`; }
			const tab = server.key === self.active || (self.active === null && i === 0) ? 0 : -1;
			if (row.node.tabIndex !== tab) row.node.tabIndex = tab;
		}
	}
	if (self.active !== null && !keep.has(self.active)) self.active = null;
	for (const [key, row] of pool) if (!keep.has(key)) { row.node.remove(); pool.delete(key); }
}

function showBackends() {
	if (!$("server-head").firstChild) $("server-head").append(header(SERVER, "server-head"));
	const list = [...model.backends.values()]
		.filter((b) => matches(b.name) || b.all.some((s) => matches(s.label)))
		.sort((a, b) => (b.dead - a.dead) || (b.broken > 0) - (a.broken > 0) || compare(a.name, b.name));
	reconcile($("backends"), list, (b) => b.key, makeBackend);
	put($("n-backends"), `${model.backends.size}, ${model.servers.size} servers`);
	$("backends-section").hidden = list.length === 0;
}

/* ------------------------------------------------------------------ keys */

function oneStop(table) {
	const rows = [...table.querySelectorAll(".row[tabindex]")];
	if (!rows.some((row) => row.tabIndex === 0) && rows[0]) rows[0].tabIndex = 0;
}

/* Up, Down, Home, End in a table; self: one whose rows come and go. */
function arrows(table, self) {
	table.addEventListener("keydown", (event) => {
		const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -1e9, End: 1e9 }[event.key];
		const row = event.target.closest(".row[tabindex]");
		if (!step || !row) return;
		event.preventDefault();
		if (self) {
			const at = self.shown.findIndex((s) => s.key === self.active);
			const to = self.shown[Math.min(self.shown.length - 1, Math.max(0, at + step))];
			self.active = to.key;
			window_(self);
			self.pool.get(to.key).node.focus({ preventScroll: true });
			self.pool.get(to.key).node.scrollIntoView({ block: "nearest" });
			return;
		}
		const rows = [...table.querySelectorAll(".row[tabindex]")];
		const to = rows[Math.min(rows.length - 1, Math.max(0, rows.indexOf(row) + step))];
		for (const each of rows) each.tabIndex = each === to ? 0 : -1;
		to.focus();
	});
}

/* ------------------------------------------------------------------ workers, events */

const WORKER_STATES = { 1: ["starting", "idle", "◐"], 2: ["serving", "good", "●"], 3: ["draining", "idle", "◐"] };
const WORKER = [
	["name", "Worker", text((w) => `worker ${w.number}`)], ["num", "Pid", text((w) => String(w.pid))],
	["num mid", "Gen.", text((w) => String(w.generation))],
	["state", "State", (w, cell) => { const [label, tone, sign] = WORKER_STATES[w.state]; stateNode(cell, w.silent > 2000 ? { label: "silent", tone: "bad", sign: "✕" } : { label, tone, sign }); }],
	["num", "Now", number((w) => w.active)], ["num mid", "Accepted", number((w) => w.accepted)], ["num mid", "Restarts", number((w) => w.restarts)],
];

function showWorkers() {
	const table = $("workers");
	if (!table.head) table.append(table.head = header(WORKER));
	const generations = new Set(model.workers.map((w) => w.generation));
	const list = model.workers.slice().sort((a, b) => b.generation - a.generation || a.number - b.number);
	reconcile(table, list, (w) => w.generation + ":" + w.number + ":" + w.pid, () => {
		const node = el("div", "row");
		node.setAttribute("role", "row");
		const update = cells(node, WORKER);
		return { node, update(w) { for (const set of update) set(w); } };
	});
	put($("n-workers"), `${model.workers.length}, ${generations.size === 1 ? "generation" : "generations"} ${[...generations].sort((a, b) => a - b).join(", ")}`);
	const [done, unchanged, refused] = model.head.reloads;
	put($("moves"), `${short(model.head.kept)} relays are kept, and outlive their worker. Reloads: ${done} done, ${unchanged} unchanged, ${refused} refused.`);
}

function showEvents() {
	const list = model.events.filter((e) => matches(e.object + " " + e.text)).reverse();
	const some = view.allEvents ? list : list.slice(0, EVENTS_SHORT);
	reconcile($("events"), some, (e) => e.id, (e) => {
		const node = el("li");
		const when = el("time", "", clock(e.at));
		const what = el("span", "what");
		const sign = el("span", "state " + e.level);
		when.dateTime = new Date(e.at).toISOString();
		when.title = new Date(e.at).toLocaleString();
		sign.setAttribute("data-sign", SIGNS[e.level]);
		sign.append(el("span", "hidden", e.level));
		if (e.object) what.append(el("b", "", e.object), " ");
		what.append(e.text);
		node.append(when, sign, what);
		return { node, update() {} };
	});
	$("more-events").hidden = list.length <= EVENTS_SHORT;
	put($("more-events"), view.allEvents ? "Show fewer" : `Show all ${list.length}`);
}

/* ------------------------------------------------------------------ one thing */

function detail(thing) {
	view.detail = thing;
	view.extra = null;
	const charts = $("detail-charts");
	charts.replaceChildren();
	view.charts = [["New connections", "rate", (n) => short(n) + "/s"], ["Throughput", "bytes", perSecond], ["Connect time, p99", "p99", micros]]
		.filter(([, which]) => which !== "p99" || thing.kind !== "frontend")
		.map(([title, which, format]) => {
			const box = el("div", "chart"), label = el("span", "", title), now = el("b"), node = sparkline();
			label.prepend(now);
			box.append(label, node);
			charts.append(box);
			return () => { put(now, format(thing.curves[which][STEPS - 1] || 0)); draw(node, thing, which, title, format); };
		});
	showDetail();
	$("detail").showModal();
	if (thing.kind === "server" || thing.kind === "frontend") lookUp(thing);
}

/* What only the master knows. */
async function lookUp(thing) {
	try {
		const list = await (await fetch("api/v1/" + thing.kind + "s", { signal: AbortSignal.timeout(LATE_MS) })).json();
		const found = thing.kind === "server" ? list.find((s) => s.backend + "/" + s.server === thing.label) : list.find((f) => f.name === thing.name);
		if (found && view.detail === thing) view.extra = thing.kind === "server"
			? [["Address", found.address], ["Check", found.check ?? "none"]] : [["Listens on", found.bind.join(", ")]];
	} catch { /* the rest is shown without it */ }
	showDetail();
}

function showDetail() {
	const thing = view.detail;
	if (!thing) return;
	const is = thing.kind === "server" ? thing.is : thing.kind === "frontend" ? frontendState(thing)
		: thing.dead ? { label: "no server", tone: "bad", sign: "✕" } : { label: mixText(thing), tone: "good", sign: "●" };
	put($("detail-name"), thing.label);
	stateNode($("detail-state"), is);
	for (const update of view.charts) update();
	const facts = [
		...(view.extra || []),
		...(thing.kind === "server" ? [["Since", span(thing.since)], ["Why", thing.why], ["Weight", thing.weight + (thing.backup ? ", backup" : "")], ["Limit", thing.maxconn ? thing.maxconn + " connections" : "none"]] : []),
		...(thing.kind === "frontend" ? [["Backend", thing.backend < 0 ? "a service of its own" : model.backends.get(thing.backend)?.name], ["Refused", String(thing.refused)], ["Lost with a worker", String(thing.lost)]] : []),
		["Connections now", String(thing.active)], ["Connections", String(thing.total)], ["Failed", String(thing.failed)],
		["Bytes in", bytes(thing.bytesIn)], ["Bytes out", bytes(thing.bytesOut)],
	].filter(([, value]) => value !== "" && value !== undefined);
	const key = JSON.stringify(facts);
	if ($("detail-facts").key === key) return;
	$("detail-facts").key = key;
	$("detail-facts").replaceChildren(...facts.flatMap(([name, value]) => [el("dt", "", name), el("dd", "", value)]));
}

/* ------------------------------------------------------------------ all of it */

function say() {
	if (view.said.size === 0) return;
	const all = [...view.said].map(([name, state]) => `${name} is ${state}`);
	$("said").textContent = all.length > 4 ? `${all.length} servers changed their state` : all.join(", ");
	view.said.clear();
}

function showHead() {
	const { head } = model;
	const tone = !head.master ? ["bad", "no master"] : head.stopping ? ["warn", "draining"] : model.broken ? ["warn", "serving, with problems"] : ["good", "serving"];
	pill(...tone);
	put($("facts"), `${location.host} · ${head.version} · generation ${head.generation} · up ${span(head.uptime_s)} · pid ${head.pid}`);
	if (!head.master) banner("The master does not run. Its workers go on relaying; start proxyd again, it takes over.");
	else banner("");
	document.title = (model.broken ? `(${model.broken}) ` : "") + "proxyd " + location.hostname;
	icon(head.master ? model.broken ? "#c8372d" : "#2f8f5b" : "#c8372d");
}

function pill(tone, label) {
	attr($("pill"), "data-tone", tone);
	put($("pill"), `${SIGNS[tone] || "·"} ${label}`);
}
function banner(message) {
	put($("banner"), message);
	$("banner").hidden = message === "";
}
function icon(colour) {
	if (icon.was === colour) return;
	icon.was = colour;
	$("icon").href = "data:image/svg+xml," + encodeURIComponent(`<svg xmlns="${SVG}" viewBox="0 0 16 16"><circle cx="8" cy="8" r="6" fill="${colour}"/></svg>`);
}

function show() {
	if (!model.head) return;
	showProblems();
	showHead();
	showTiles();
	showFrontends();
	showBackends();
	showWorkers();
	showEvents();
	showDetail();
	say();
	$("nothing").hidden = view.filter === "" || !$("frontends-section").hidden || !$("backends-section").hidden;
}

/* Nothing was heard for a while: what is shown is old, and says so. */
function late() {
	const silent = Date.now() - model.heardAt;
	if (document.hidden || silent < LATE_MS) return;
	document.documentElement.classList.add("stale");
	pill("bad", "no answer");
	icon("#c8372d");
	document.title = "(no answer) proxyd " + location.hostname;
	banner(model.heardAt ? `proxyd has not answered since ${clock(model.heardAt)}, ${span(Math.floor(silent / 1000))} ago. What is shown is of then.` : "proxyd does not answer.");
}

let timer = 0;
async function poll() {
	clearTimeout(timer);
	const turn = ++model.asked;
	try {
		const answer = await fetch(`api/v1/dashboard?since=${model.step}&events=${model.event}`,
			{ cache: "no-store", signal: AbortSignal.timeout(LATE_MS) });
		if (!answer.ok) throw new Error(answer.status);
		const data = await answer.json();
		if (turn !== model.asked) return;
		take(data);
		model.heardAt = Date.now();
		document.documentElement.classList.remove("stale");
		show();
	} catch (error) {
		if (error instanceof TypeError && error.stack && !/fetch/i.test(error.message)) console.error(error);
		late();
	}
	if (turn === model.asked && !document.hidden) timer = setTimeout(poll, POLL_MS);
}

/* ------------------------------------------------------------------ the page */

const THEMES = ["auto", "dark", "light"];
const dark = matchMedia("(prefers-color-scheme: dark)");
let theme = "auto";
try { theme = localStorage.getItem("theme") || "auto"; } catch { /* private */ }

function dress() {
	document.documentElement.dataset.theme = theme === "auto" ? (dark.matches ? "dark" : "light") : theme;
	$("theme").textContent = theme;
	$("theme").setAttribute("aria-label", `Colours: ${theme}`);
}

dark.addEventListener("change", dress);
$("theme").addEventListener("click", () => {
	theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
	try { localStorage.setItem("theme", theme); } catch { /* private */ }
	dress();
});
$("filter").addEventListener("input", (event) => { view.filter = event.target.value.trim().toLowerCase(); show(); });
$("more-events").addEventListener("click", () => { view.allEvents = !view.allEvents; showEvents(); });
$("detail").addEventListener("close", () => { if (!$("detail").open) view.detail = null; });
$("detail").addEventListener("click", (event) => { if (event.target === $("detail")) $("detail").close(); });
document.addEventListener("keydown", (event) => {
	if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(document.activeElement.tagName)) { event.preventDefault(); $("filter").focus(); }
	if (event.key === "Escape" && document.activeElement === $("filter")) { $("filter").value = view.filter = ""; show(); }
});
let framed = 0;
function scrolled() {
	if (framed) return;
	framed = requestAnimationFrame(() => { framed = 0; for (const backend of $("backends").rows?.values() || []) window_(backend); });
}
addEventListener("scroll", scrolled, { passive: true });
addEventListener("resize", scrolled);
document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
setInterval(late, POLL_MS);
dress();
poll();
})();

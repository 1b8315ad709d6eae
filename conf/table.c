/* The rows of the top level and of global, and the look-up. Nothing but the rows knows a key's name, range
 * or default.
 */
#include <string.h>

#include "common/shm.h"
#include "conf/table_rows.h"

#define SOCKET_PATH_MAX 107 /* sockaddr_un, less its final 0 */

static const struct conf_word level_words[] = {
	{ "debug", LOG_LEVEL_DEBUG },
	{ "info", LOG_LEVEL_INFO },
	{ "warn", LOG_LEVEL_WARN },
	{ "error", LOG_LEVEL_ERROR },
	{ "fatal", LOG_LEVEL_FATAL },
	{ "none", LOG_LEVEL_NONE },
	{ "0", LOG_LEVEL_DEBUG },
	{ "1", LOG_LEVEL_INFO },
	{ "2", LOG_LEVEL_WARN },
	{ "3", LOG_LEVEL_ERROR },
	{ "4", LOG_LEVEL_FATAL },
	{ "5", LOG_LEVEL_FATAL },
	{ "6", LOG_LEVEL_FATAL },
	{ "7", LOG_LEVEL_NONE },
	{ 0 },
};

static const struct conf_word format_words[] = {
	{ "text", LOG_FORMAT_TEXT },
	{ "json", LOG_FORMAT_JSON },
	{ 0 },
};

static const struct conf_word off_words[] = { { "off", CONF_FOREVER }, { 0 } };

static const struct conf_word log_sink_words[] = { { "stderr", 0 }, { "syslog", 0 }, { 0 } };

static const struct conf_word access_sink_words[] = {
	{ "off", 0 },
	{ "stderr", 0 },
	{ "syslog", 0 },
	{ 0 },
};

static const struct conf_key log_keys[] = {
	{ .name = "to",
		.type = CONF_SINK,
		FIELD(conf_log, to),
		.words = log_sink_words,
		.value = "stderr",
		.change = CHANGE_WORKERS,
		.description = "where lines go" },
	{ .name = "level",
		.type = CONF_WORD,
		FIELD(conf_log, level),
		.words = level_words,
		.value = "info",
		.change = CHANGE_WORKERS,
		.description = "what is said; 4 to 6: only what ends the process, 7: nothing" },
	{ .name = "format",
		.type = CONF_WORD,
		FIELD(conf_log, format),
		.words = format_words,
		.value = "text",
		.change = CHANGE_WORKERS,
		.description = "of a line" },
};
static const struct conf_table log_table = TABLE("the log", log_keys);

static const struct conf_key access_log_keys[] = {
	{ .name = "to",
		.type = CONF_SINK,
		FIELD(conf_log, to),
		.words = access_sink_words,
		.value = "off",
		.change = CHANGE_WORKERS,
		.description = "where lines go" },
	{ .name = "format",
		.type = CONF_WORD,
		FIELD(conf_log, format),
		.words = format_words,
		.value = "text",
		.change = CHANGE_WORKERS,
		.description = "of a line" },
};
static const struct conf_table access_log_table = TABLE("the access log", access_log_keys);

static const struct conf_key control_keys[] = {
	{ .name = "path",
		.type = CONF_TEXT,
		FIELD(conf_control, path),
		.max = SOCKET_PATH_MAX,
		.value = "",
		.unit = "path",
		.change = CHANGE_RESTART,
		.description = "of the socket; takeover.sock will lie beside it" },
	{ .name = "mode",
		.type = CONF_MODE,
		FIELD(conf_control, mode),
		.max = 0777,
		.value = "0600",
		.change = CHANGE_RESTART,
		.description = "of the socket" },
	{ .name = "group",
		.type = CONF_TEXT,
		FIELD(conf_control, group),
		.max = 63,
		.value = "",
		.change = CHANGE_RESTART,
		.description = "its members may look, but not change anything" },
};
static const struct conf_table control_table = TABLE("the control socket", control_keys);

static const struct conf_key admin_keys[] = {
	{ .name = "bind",
		.type = CONF_ADDRESS,
		FIELD(conf_admin, bind),
		.optional = true,
		.use = ADDRESS_ADMIN,
		.value = "",
		.unit = "address",
		.description =
			"of the dashboard and of /metrics; :PORT is loopback alone; \"\": off" },
};
static const struct conf_table admin_table = TABLE("the admin page", admin_keys);

static const struct conf_key global_keys[] = {
	{ .name = "workers",
		.type = CONF_WORKERS,
		FIELD(conf_global, workers),
		.min = 1,
		.max = SHM_WORKERS_MAX,
		.value = "auto",
		.change = CHANGE_WORKERS,
		.description = "relay workers; auto: one per online CPU" },
	{ .name = "user",
		.type = CONF_TEXT,
		FIELD(conf_global, user),
		.max = 63,
		.value = "",
		.change = CHANGE_RESTART,
		.description = "drop to this user after binding" },
	{ .name = "group",
		.type = CONF_TEXT,
		FIELD(conf_global, group),
		.max = 63,
		.value = "",
		.change = CHANGE_RESTART,
		.description = "drop to this group after binding" },
	{ .name = "pidfile",
		.type = CONF_TEXT,
		FIELD(conf_global, pidfile),
		.max = 4095,
		.value = "",
		.unit = "path",
		.change = CHANGE_RESTART,
		.description = "where the master's pid is written" },
	{ .name = "maxconn",
		.type = CONF_COUNT,
		FIELD(conf_global, maxconn),
		.max = CONNECTIONS_MAX,
		.value = "0",
		.unit = "connections",
		.change = CHANGE_WORKERS,
		.description = "relays in the whole daemon; 0: what the fd limit allows" },
	{ .name = "drain_timeout",
		.type = CONF_EVER,
		FIELD(conf_global, drain_timeout_ms),
		.min = MS,
		.max = SPAN_MAX,
		.zero = "for ever",
		.value = "30s",
		.unit = "duration",
		.description = "how long relays may go on after a stop" },
	{ .name = "keep_after",
		.type = CONF_SPAN,
		FIELD(conf_global, keep_after_ms),
		.min = MS,
		.max = HOUR,
		.zero = "from the first byte",
		.words = off_words,
		.value = "1s",
		.unit = "duration",
		.change = CHANGE_WORKERS,
		.description =
			"a relay this old survives the death of its worker; off: none does" },
	{ .name = "heartbeat_timeout",
		.type = CONF_SPAN,
		FIELD(conf_global, heartbeat_timeout_ms),
		.min = 100 * MS,
		.max = HOUR,
		.value = "1s",
		.unit = "duration",
		.change = CHANGE_WORKERS,
		.description = "a worker silent for longer is replaced" },
	{ .name = "bind_retry",
		.type = CONF_SPAN,
		FIELD(conf_global, bind_retry_ms),
		.min = 10 * MS,
		.max = HOUR,
		.zero = "exit",
		.value = "0",
		.unit = "duration",
		.description = "at start: retry a busy address at this interval" },
	{ .name = "rebalance",
		.type = CONF_COUNT,
		FIELD(conf_global, rebalance_pct),
		.max = 1000,
		.value = "0",
		.unit = "percent",
		.description =
			"move relays when a worker has so much more than the average; 0: off" },
	{ .name = "log",
		.type = CONF_SECTION,
		FIELD(conf_global, log),
		.section = &log_table,
		.change = CHANGE_WORKERS,
		.description = "what the daemon says" },
	{ .name = "access_log",
		.type = CONF_SECTION,
		FIELD(conf_global, access_log),
		.section = &access_log_table,
		.change = CHANGE_WORKERS,
		.description = "one line per relay at its end" },
	{ .name = "control",
		.type = CONF_SECTION,
		FIELD(conf_global, control),
		.section = &control_table,
		.change = CHANGE_RESTART,
		.description = "the socket that proxyctl talks to" },
	{ .name = "admin",
		.type = CONF_SECTION,
		FIELD(conf_global, admin),
		.section = &admin_table,
		.description = "HTTP: dashboard, /metrics, /healthz, /readyz; read only" },
};
const struct conf_table conf_global_table = TABLE("global", global_keys);

/* ------------------------------------------------------------------ the file */

static const struct conf_key top_keys[] = {
	[TOP_GLOBAL] = { .name = "global",
		.type = CONF_SECTION,
		.section = &conf_global_table,
		.description = "of the whole daemon" },
	[TOP_DEFAULTS] = { .name = "defaults",
		.type = CONF_OBJECTS,
		.description = "any key of a frontend or a backend, for all of them" },
	[TOP_FRONTENDS] = { .name = "frontends",
		.type = CONF_OBJECTS,
		.section = &conf_frontend_table,
		.description = "what listens" },
	[TOP_BACKENDS] = { .name = "backends",
		.type = CONF_OBJECTS,
		.section = &conf_backend_table,
		.description = "who serves" },
};
const struct conf_table conf_top_table = TABLE("the file", top_keys);

const struct conf_key *table_find(const struct conf_table *table, const char *name)
{
	for (size_t i = 0; i < table->nkeys; i++)
		if (strcmp(table->keys[i].name, name) == 0)
			return &table->keys[i];
	return NULL;
}

const char *word_name(const struct conf_word *words, uint32_t value)
{
	for (; words->name != NULL; words++)
		if (words->value == value)
			return words->name;
	return NULL;
}

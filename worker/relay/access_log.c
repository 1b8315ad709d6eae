/* Puts the line together from the relay's record, which holds all that is known of it.
 */
#include "worker/relay/access_log.h"

#include <arpa/inet.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/escape.h"
#include "common/line.h"
#include "common/sink.h"
#include "worker/relay/impl.h"

#define ACCESS_LINE_BYTES 2048

static void access_ipv4(struct line *line, const uint8_t *host)
{
	for (int i = 0; i < 4; i++) {
		if (i > 0)
			line_char(line, '.');
		line_uint(line, host[i]);
	}
}

static void access_client(struct line *line, const struct relay_record *record)
{
	struct sockaddr_any addr = { .len = sizeof(addr.u.in6) };
	char text[SOCKADDR_TEXT_MAX];

	if (record->client_family == AF_INET) {
		access_ipv4(line, record->client_addr);
		line_char(line, ':');
		line_uint(line, record->client_port);
	} else if (record->client_family == AF_INET6) {
		addr.u.in6.sin6_family = AF_INET6;
		addr.u.in6.sin6_port = htons(record->client_port);
		memcpy(&addr.u.in6.sin6_addr, record->client_addr, 16);
		line_text(line, sockaddr_format(&addr, text, sizeof(text)));
	} else {
		line_text(line, "unix:");
	}
}

/* To the second: most lines have that of the line before. */
struct access_date {
	time_t of;
	char text[32];
};

static void access_date(struct line *line, struct access_date *last, uint64_t wall_ms, bool local)
{
	time_t seconds = (time_t)(wall_ms / 1000);
	struct tm tm;

	if (last->of != seconds) {
		if (local)
			localtime_r(&seconds, &tm);
		else
			gmtime_r(&seconds, &tm);
		strftime(last->text, sizeof(last->text),
			local ? "%d/%b/%Y:%H:%M:%S" : "%Y-%m-%dT%H:%M:%S", &tm);
		last->of = seconds;
	}
	line_text(line, last->text);
	line_char(line, '.');
	line_milli(line, (unsigned)(wall_ms % 1000));
}

/* "-1" for a phase that was never reached, as HAProxy has it. */
static void access_ms(struct line *line, uint32_t ms)
{
	line_int(line, ms == RECORD_NEVER ? -1 : (int64_t)ms);
}

static uint64_t access_total_ms(const struct relay_record *record)
{
	return clock_now_ms() - record->accepted_ms;
}

static uint64_t access_backend_active(const struct relay *relay)
{
	struct shm *shm = relay->relays->shm;
	uint32_t slots = shm_master(shm)->slots;
	uint64_t active = 0;

	for (uint32_t i = 0; relay->backend != NULL && i < slots && i < SHM_SLOTS; i++)
		active += shm_slot(shm, i)->backends[relay->backend->place].active;
	return active;
}

/* Its name in shared memory is "backend/server". */
static const char *access_server(const struct relay *relay)
{
	const char *name;

	if (relay->backend == NULL)
		return service_find(relay->frontend->service)->name;
	if (relay->record->server == SHM_NONE)
		return "<NOSRV>";
	if (relay->chosen != NULL)
		return relay->chosen->name;
	name = strchr(shm_name(relay->relays->shm, SHM_SERVER, relay->record->server), '/');
	return name != NULL ? name + 1 : "?";
}

/* The last of HAProxy's fields but the queues': ACTIVE/FRONT/BACK/SERVER/RETRIES */
static void access_counts(struct line *line, const struct relay *relay)
{
	const struct shm_shared *shared = shm_shared(relay->relays->shm);
	uint32_t server = relay->record->server;

	line_uint(line, shared->active);
	line_char(line, '/');
	line_uint(line, shared->frontends[relay->frontend->place].active);
	line_char(line, '/');
	line_uint(line, access_backend_active(relay));
	line_char(line, '/');
	line_uint(line, server != SHM_NONE ? shared->servers[server].active : 0);
	line_char(line, '/');
	line_uint(line, relay->record->retries);
}

/* HAProxy's tcplog order:
 * CLIENT [TIME] FRONTEND BACKEND/SERVER WAIT/CONNECT/TOTAL IN OUT STATE ACTIVE/FRONT/BACK/SERVER/RETRIES 0/0
 */
static void access_text(struct line *line, const struct relay *relay, enum close_reason why)
{
	const struct relay_record *record = relay->record;
	static struct access_date date;

	access_client(line, record);
	line_text(line, " [");
	access_date(line, &date, record->accepted_wall_ms, true);
	line_text(line, "] ");
	line_text(line, relay->frontend->name);
	line_char(line, ' ');
	line_text(line, relay->backend != NULL ? relay->backend->name : "<SERVICE>");
	line_char(line, '/');
	line_text(line, access_server(relay));
	line_char(line, ' ');
	access_ms(line, record->wait_ms);
	line_char(line, '/');
	access_ms(line, record->connect_ms);
	line_char(line, '/');
	line_uint(line, access_total_ms(record));
	line_char(line, ' ');
	line_uint(line, record->bytes_in);
	line_char(line, ' ');
	line_uint(line, record->bytes_out);
	line_char(line, ' ');
	line_text(line, close_reason_letters(why));
	line_char(line, ' ');
	access_counts(line, relay);
	line_text(line, " 0/0");
}

static void access_key(struct line *line, const char *key)
{
	line_text(line, ",\"");
	line_text(line, key);
	line_text(line, "\":");
}

static void access_string(struct line *line, const char *key, const char *text)
{
	access_key(line, key);
	line_char(line, '"');
	line_text(line, text);
	line_char(line, '"');
}

static void access_number(struct line *line, const char *key, uint64_t number)
{
	access_key(line, key);
	line_uint(line, number);
}

static void access_json(struct line *line, const struct relay *relay, enum close_reason why)
{
	const struct relay_record *record = relay->record;
	const char *server = access_server(relay);
	static struct access_date date;
	char escaped[160];

	escape_json(server, strlen(server), escaped, sizeof(escaped));
	line_text(line, "{\"time\":\"");
	access_date(line, &date, record->accepted_wall_ms, false);
	line_text(line, "Z\",\"id\":\"");
	line_hex(line, record->id);
	line_char(line, '"');
	access_string(line, "frontend", relay->frontend->name);
	line_text(line, ",\"client\":\"");
	access_client(line, record);
	line_char(line, '"');
	access_string(line, "backend", relay->backend != NULL ? relay->backend->name : "");
	access_string(line, "server", escaped);
	access_key(line, "wait_ms");
	access_ms(line, record->wait_ms);
	access_key(line, "connect_ms");
	access_ms(line, record->connect_ms);
	access_number(line, "total_ms", access_total_ms(record));
	access_number(line, "bytes_in", record->bytes_in);
	access_number(line, "bytes_out", record->bytes_out);
	access_string(line, "reason", close_reason_text(why));
	access_string(line, "state", close_reason_letters(why));
	access_number(line, "worker", relay->relays->slot_number);
	access_number(line, "generation", record->generation);
	line_char(line, '}');
}

void access_log_relay(const struct relay *relay, enum close_reason why)
{
	const struct relays *relays = relay->relays;
	char text[ACCESS_LINE_BYTES];
	struct line line;

	line_begin(&line, text, sizeof(text));
	if (relays->access_format == LOG_FORMAT_JSON)
		access_json(&line, relay, why);
	else
		access_text(&line, relay, why);
	sink_append(relays->access_log, text, (size_t)(line.at - text));
}

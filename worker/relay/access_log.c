/* Formats the line from the relay's record, which holds all that is known of it.
 */
#include "worker/relay/access_log.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/escape.h"
#include "common/sink.h"
#include "worker/relay/impl.h"

#define ACCESS_LINE_BYTES 2048

/* HAProxy's tcplog order:
 * CLIENT [TIME] FRONTEND BACKEND/SERVER WAIT/CONNECT/TOTAL IN OUT STATE ACTIVE/FRONT/BACK/SERVER/RETRIES 0/0
 */
static void access_client(const struct relay_record *record, char *buf, size_t buf_bytes)
{
	struct sockaddr_any addr = { .len = 0 };

	if (record->client_family == AF_INET) {
		addr.len = sizeof(addr.u.in);
		addr.u.in.sin_family = AF_INET;
		addr.u.in.sin_port = htons(record->client_port);
		memcpy(&addr.u.in.sin_addr, record->client_addr, 4);
	} else if (record->client_family == AF_INET6) {
		addr.len = sizeof(addr.u.in6);
		addr.u.in6.sin6_family = AF_INET6;
		addr.u.in6.sin6_port = htons(record->client_port);
		memcpy(&addr.u.in6.sin6_addr, record->client_addr, 16);
	} else {
		snprintf(buf, buf_bytes, "unix:");
		return;
	}
	sockaddr_format(&addr, buf, buf_bytes);
}

/* "-1" for a phase that was never reached, as HAProxy has it. */
static long access_ms(uint32_t ms)
{
	return ms == RECORD_NEVER ? -1 : (long)ms;
}

struct access_counts {
	uint32_t daemon;
	uint64_t frontend;
	uint64_t backend;
	uint32_t server;
};

static void access_count(const struct relay *relay, struct access_counts *counts_r)
{
	struct shm *shm = relay->relays->shm;
	uint32_t slots = shm_master(shm)->slots;

	memset(counts_r, 0, sizeof(*counts_r));
	counts_r->daemon = shm_shared(shm)->active;
	for (uint32_t i = 0; i < slots && i < SHM_SLOTS; i++) {
		counts_r->frontend += shm_slot(shm, i)->frontends[relay->frontend->place].active;
		if (relay->backend != NULL)
			counts_r->backend +=
				shm_slot(shm, i)->backends[relay->backend->place].active;
	}
	if (relay->record->server != SHM_NONE)
		counts_r->server = shm_shared(shm)->servers[relay->record->server].active;
}

static const char *access_server(const struct relay *relay)
{
	if (relay->backend == NULL)
		return service_find(relay->frontend->service)->name;
	if (relay->record->server == SHM_NONE)
		return "<NOSRV>";
	for (size_t i = 0; i < relay->backend->nservers; i++) {
		if (relay->backend->servers[i].place == relay->record->server)
			return relay->backend->servers[i].name;
	}
	return "?";
}

static int access_text(
	const struct relay *relay, enum close_reason why, char *line, size_t line_bytes)
{
	const struct relay_record *record = relay->record;
	char client[SOCKADDR_TEXT_MAX];
	char date[32];
	struct access_counts counts;
	time_t seconds = (time_t)(record->accepted_wall_ms / 1000);
	struct tm tm;

	access_client(record, client, sizeof(client));
	access_count(relay, &counts);
	localtime_r(&seconds, &tm);
	strftime(date, sizeof(date), "%d/%b/%Y:%H:%M:%S", &tm);
	return snprintf(line, line_bytes,
		"%s [%s.%03u] %s %s/%s %ld/%ld/%llu %llu %llu %s %u/%llu/%llu/%u/%u 0/0", client,
		date, (unsigned)(record->accepted_wall_ms % 1000), relay->frontend->name,
		relay->backend != NULL ? relay->backend->name : "<SERVICE>", access_server(relay),
		access_ms(record->wait_ms), access_ms(record->connect_ms),
		(unsigned long long)(clock_now_ms() - record->accepted_ms),
		(unsigned long long)record->bytes_in, (unsigned long long)record->bytes_out,
		close_reason_letters(why), counts.daemon, (unsigned long long)counts.frontend,
		(unsigned long long)counts.backend, counts.server, record->retries);
}

static int access_json(
	const struct relay *relay, enum close_reason why, char *line, size_t line_bytes)
{
	const struct relay_record *record = relay->record;
	const struct relays *relays = relay->relays;
	const char *server = access_server(relay);
	char client[SOCKADDR_TEXT_MAX];
	char server_text[160];
	char date[32];
	time_t seconds = (time_t)(record->accepted_wall_ms / 1000);
	struct tm tm;

	access_client(record, client, sizeof(client));
	escape_json(server, strlen(server), server_text, sizeof(server_text));
	gmtime_r(&seconds, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	return snprintf(line, line_bytes,
		"{\"time\":\"%s.%03uZ\",\"id\":\"%llx\",\"frontend\":\"%s\",\"client\":\"%s\","
		"\"backend\":\"%s\",\"server\":\"%s\",\"wait_ms\":%ld,\"connect_ms\":%ld,\"total_ms\":%llu,"
		"\"bytes_in\":%llu,\"bytes_out\":%llu,\"reason\":\"%s\",\"state\":\"%s\",\"worker\":%u,"
		"\"generation\":%u}",
		date, (unsigned)(record->accepted_wall_ms % 1000), (unsigned long long)record->id,
		relay->frontend->name, client, relay->backend != NULL ? relay->backend->name : "",
		server_text, access_ms(record->wait_ms), access_ms(record->connect_ms),
		(unsigned long long)(clock_now_ms() - record->accepted_ms),
		(unsigned long long)record->bytes_in, (unsigned long long)record->bytes_out,
		close_reason_text(why), close_reason_letters(why), relays->slot_number,
		record->generation);
}

void access_log_relay(const struct relay *relay, enum close_reason why)
{
	const struct relays *relays = relay->relays;
	char line[ACCESS_LINE_BYTES];
	int len;

	if (relays->access_format == LOG_FORMAT_JSON)
		len = access_json(relay, why, line, sizeof(line));
	else
		len = access_text(relay, why, line, sizeof(line));
	if (len < 0)
		return;
	if ((size_t)len >= sizeof(line))
		len = sizeof(line) - 1;
	sink_append(relays->access_log, line, (size_t)len);
}

/* The limits of frontends, over all workers together.
 */
#include "worker/relay/admit.h"

#include "common/clock.h"
#include "common/counts.h"
#include "common/log.h"
#include "conf/cidrs.h"
#include "worker/relay/impl.h"

static const char *const refusal_texts[REFUSALS] = {
#define REFUSAL(name, key, text) text,
#include "common/refusals.def"
#undef REFUSAL
};

static const struct shm_count_id daemon_count = { SHM_COUNT_DAEMON, 0 };

/* ------------------------------------------------------------------ before accept */

/* Connections of all sources in this second. Two workers that meet a new second at the same instant may let in a
 * few more than the limit, once. */
static bool admit_rate(struct relays *relays, const struct conf_frontend *frontend)
{
	struct shm_shared_frontend *shared = &shm_shared(relays->shm)->frontends[frontend->place];
	uint32_t second = (uint32_t)(clock_coarse_ms() / 1000);

	if (frontend->limits.rate == 0)
		return true;
	if (atomic_exchange_explicit(&shared->second, second, memory_order_relaxed) != second)
		atomic_store_explicit(&shared->opened, 0, memory_order_relaxed);
	if (atomic_fetch_add_explicit(&shared->opened, 1, memory_order_relaxed) <
		frontend->limits.rate)
		return true;
	atomic_fetch_sub_explicit(&shared->opened, 1, memory_order_relaxed);
	return false;
}

/* Nobody came after all. */
static void admit_rate_return(struct relays *relays, const struct conf_frontend *frontend)
{
	struct shm_shared_frontend *shared = &shm_shared(relays->shm)->frontends[frontend->place];

	if (frontend->limits.rate != 0)
		atomic_fetch_sub_explicit(&shared->opened, 1, memory_order_relaxed);
}

bool admit_reserve(struct relays *relays, const struct conf_frontend *frontend)
{
	const struct shm_count_id id = { SHM_COUNT_FRONTEND, frontend->place };

	if (!shm_active_reserve(
		    relays->shm, relays->slot_number, &daemon_count, relays->conf->global.maxconn))
		return false;
	if (shm_active_reserve(relays->shm, relays->slot_number, &id, frontend->maxconn)) {
		if (admit_rate(relays, frontend))
			return true;
		shm_active_add(relays->shm, relays->slot_number, &id, -1);
	}
	shm_active_add(relays->shm, relays->slot_number, &daemon_count, -1);
	return false;
}

void admit_release(struct relays *relays, const struct conf_frontend *frontend)
{
	const struct shm_count_id id = { SHM_COUNT_FRONTEND, frontend->place };

	shm_active_add(relays->shm, relays->slot_number, &id, -1);
	shm_active_add(relays->shm, relays->slot_number, &daemon_count, -1);
}

void admit_return(struct relays *relays, const struct conf_frontend *frontend)
{
	admit_rate_return(relays, frontend);
	admit_release(relays, frontend);
}

/* ------------------------------------------------------------------ after accept */

static enum refusal admit_refuse(
	const struct conf_frontend *frontend, const struct sockaddr_any *client, enum refusal why)
{
	static struct log_rate rates[REFUSALS];
	char text[SOCKADDR_TEXT_MAX];

	if (log_rate_ok(&rates[why]))
		log_warnx("frontend %s: %s refused: %s%s", frontend->name,
			sockaddr_format(client, text, sizeof(text)), refusal_texts[why],
			log_rate_note(&rates[why]));
	return why;
}

static bool admit_network(const struct conf_frontend *frontend, const struct sockaddr_any *client)
{
	if (frontend->allow != NULL && !cidrs_match(frontend->allow, client))
		return false;
	return frontend->deny == NULL || !cidrs_match(frontend->deny, client);
}

enum refusal admit_client(struct relays *relays, const struct conf_frontend *frontend,
	const struct sockaddr_any *client, uint64_t *key_r)
{
	const struct conf_limits *limits = &frontend->limits;
	struct source_ask ask = { 0, limits->source_maxconn, limits->source_rate,
		clock_coarse_ms() };
	size_t len;
	const void *host = sockaddr_host_bytes(client, &len);

	*key_r = 0;
	if (!admit_network(frontend, client))
		return admit_refuse(frontend, client, REFUSED_DENIED);
	if (len == 0 || (limits->source_maxconn == 0 && limits->source_rate == 0))
		return REFUSALS;
	ask.key = sources_key(frontend->place, host, len);
	switch (sources_enter(&shm_shared(relays->shm)->sources, &ask)) {
	case SOURCE_COUNTED:
		*key_r = ask.key;
		return REFUSALS;
	case SOURCE_UNCOUNTED:
		return REFUSALS;
	case SOURCE_MAXCONN:
		return admit_refuse(frontend, client, REFUSED_SOURCE_MAXCONN);
	case SOURCE_RATE:
		break;
	}
	return admit_refuse(frontend, client, REFUSED_SOURCE_RATE);
}

void admit_adopt(struct relays *relays, const struct conf_frontend *frontend)
{
	const struct shm_count_id id = { SHM_COUNT_FRONTEND, frontend->place };

	shm_active_add(relays->shm, relays->slot_number, &daemon_count, 1);
	shm_active_add(relays->shm, relays->slot_number, &id, 1);
}

uint64_t admit_adopt_source(struct relays *relays, const struct relay_record *record)
{
	struct source_ask ask = { 0, 0, 0, clock_coarse_ms() };
	size_t len = record->client_family == AF_INET6 ? 16 : 4;

	if ((record->flags & RECORD_SOURCE_COUNTED) == 0)
		return 0;
	ask.key = sources_key(record->frontend, record->client_addr, len);
	if (sources_enter(&shm_shared(relays->shm)->sources, &ask) != SOURCE_COUNTED)
		return 0;
	return ask.key;
}

void admit_leave(struct relays *relays, uint64_t key)
{
	if (key != 0)
		sources_leave(&shm_shared(relays->shm)->sources, key);
}

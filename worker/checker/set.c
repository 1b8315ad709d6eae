/* The making of all checks and their first turns. Nothing is allocated afterwards but by OpenSSL. */
#include <stdlib.h>
#include <sys/random.h>

#include "common/child.h"
#include "common/clock.h"
#include "common/log.h"
#include "worker/checker/impl.h"
#include "worker/checker/schedule.h"
#include "worker/checker/verdict.h"

/* First checks: one a millisecond at most, but within `inter`. */
#define SET_FIRST_MS 1

/* Where one of the checks is tls: a handshake that hangs takes some 50 KiB. */
#define SET_TLS_UNDER_WAY_MAX 1024

static const struct check_kind *const set_kinds[] = {
	[CHECK_NONE] = NULL,
	[CHECK_TCP] = &check_tcp,
	[CHECK_HTTP] = &check_http,
	[CHECK_TLS] = &check_tls,
	[CHECK_SEND_EXPECT] = &check_send_expect,
};

/* Memory of one part, or the end. */
static void *set_memory(void *memory)
{
	if (memory == NULL) {
		log_fatalx("no memory for the checks");
		exit(EXIT_CODE_FAILED);
	}
	return memory;
}

static void set_add_plan(struct check_set *set, const struct conf_backend *backend)
{
	const struct conf_bytes *expect = &backend->check.expect;
	struct check_plan *plan = &set->plans[set->nplans++];

	MUST(backend->check.type < NELEMS(set_kinds));
	plan->backend = backend;
	plan->kind = set_kinds[backend->check.type];
	if (backend->check.type == CHECK_SEND_EXPECT)
		plan->expect = set_memory(expect_new(expect->bytes, expect->len));
	if (backend->check.type == CHECK_TLS && set->tls == NULL) {
		set->tls = check_tls_new();
		if (set->tls == NULL) {
			log_fatalx("OpenSSL cannot make a context for the checks");
			exit(EXIT_CODE_FAILED);
		}
	}
}

static void set_add_check(
	struct check_set *set, const struct check_plan *plan, const struct conf_server *server)
{
	struct check *check = &set->checks[set->nchecks++];
	size_t question_bytes = ask_question_bytes(plan->backend, server);

	check->set = set;
	check->plan = plan;
	check->server = server;
	check->fd = -1;
	event_assign(&check->timer, set->base, -1, 0, on_check_timer, check);
	if (set->buf_bytes < question_bytes)
		set->buf_bytes = question_bytes;
}

static size_t set_count(const struct conf *conf)
{
	size_t n = 0;

	for (size_t b = 0; b < conf->nbackends; b++)
		for (size_t s = 0; s < conf->backends[b].nservers; s++)
			if (verdict_target(&conf->backends[b], &conf->backends[b].servers[s]) ==
				TARGET_CHECKED)
				n++;
	return n;
}

static void set_fill(struct check_set *set, const struct conf *conf)
{
	set->plans = set_memory(calloc(conf->nbackends + 1, sizeof(*set->plans)));
	set->checks = set_memory(calloc(set_count(conf) + 1, sizeof(*set->checks)));
	set->buf_bytes = CHECK_BUF_BYTES;
	for (size_t b = 0; b < conf->nbackends; b++) {
		const struct conf_backend *backend = &conf->backends[b];

		set_add_plan(set, backend);
		for (size_t s = 0; s < backend->nservers; s++) {
			verdict_begin(set->shm, backend, &backend->servers[s]);
			if (verdict_target(backend, &backend->servers[s]) == TARGET_CHECKED)
				set_add_check(set, &set->plans[b], &backend->servers[s]);
		}
	}
	set->buf = set_memory(malloc(set->buf_bytes));
}

/* When its predecessor would have checked next, within the interval in any case; 0 when there was none. */
static uint64_t set_successor_due_ms(
	struct check_set *set, const struct check *check, uint64_t now_ms)
{
	const struct conf_server *server = check->server;
	struct check_state state;
	uint64_t last_ms;
	uint32_t interval_ms;

	MUST(server != NULL);
	state = verdict_state(set->shm, server);
	last_ms = atomic_load_explicit(
		&shm_checker(set->shm)->servers[server->place].last_check_ms, memory_order_relaxed);
	interval_ms = schedule_interval_ms(&check->plan->backend->check, &state, 0);
	if (state.checks == 0 || last_ms > now_ms)
		return 0;
	return last_ms + interval_ms;
}

/* Few servers are checked at once, many spread over the interval, so that they do not beat in step. */
static void set_start(struct check_set *set)
{
	uint64_t now_ms = clock_now_ms();

	for (size_t i = 0; i < set->nchecks; i++) {
		struct check *check = &set->checks[i];
		uint64_t span_ms = set->nchecks * SET_FIRST_MS;
		uint64_t due_ms = set_successor_due_ms(set, check, now_ms);

		if (span_ms > check->plan->backend->check.inter_ms)
			span_ms = check->plan->backend->check.inter_ms;
		check->due_ms = now_ms + span_ms * i / set->nchecks;
		if (check->due_ms < due_ms)
			check->due_ms = due_ms;
		check_rest(check);
	}
}

struct check_set *check_set_new(
	struct event_base *base, const struct conf *conf, struct shm *shm, uint32_t under_way_max)
{
	struct check_set *set = set_memory(calloc(1, sizeof(*set)));

	set->base = base;
	set->shm = shm;
	set->under_way_max = under_way_max > 0 ? under_way_max : 1;
	/* Of this process alone. Without any randomness to have, the time will do for a jitter. */
	if (getrandom(&set->random, sizeof(set->random), GRND_NONBLOCK) < 0)
		set->random = clock_now_us();
	STAILQ_INIT(&set->queue);
	set_fill(set, conf);
	if (set->tls != NULL && set->under_way_max > SET_TLS_UNDER_WAY_MAX)
		set->under_way_max = SET_TLS_UNDER_WAY_MAX;
	set_start(set);
	return set;
}

void check_set_address_changed(struct check_set *set, const struct conf_server *server)
{
	for (size_t i = 0; i < set->nchecks; i++) {
		if (set->checks[i].server == server)
			check_again(&set->checks[i]);
	}
}

void check_set_free(struct check_set *set)
{
	for (size_t i = 0; i < set->nchecks; i++) {
		event_del(&set->checks[i].timer);
		check_socket_close(&set->checks[i]);
	}
	for (size_t i = 0; i < set->nplans; i++)
		expect_free(set->plans[i].expect);
	check_tls_free(set->tls);
	free(set->buf);
	free(set->checks);
	free(set->plans);
	free(set);
}

/* Relays between workers: killed at random instants under traffic, told to leave and to shed, with the keeper dying in
 * the middle; nothing is lost, nothing is wrong. The workers are real processes, see adopt_bed.h.
 */
#include "tests/unit/adopt_traffic.h"

#include <sys/un.h>

struct world {
	struct bed bed;
	struct traffic traffic;
	int listeners[4];
};

static void world_open(struct world *w, uint32_t conns, const char *keep_after)
{
	struct sockaddr_in origin;
	char conf[512];

	memset(w, 0, sizeof(*w));
	w->traffic.origin = listen_here(&origin);
	w->listeners[0] = listen_here(&w->traffic.proxy);
	w->traffic.count = conns;
	snprintf(conf, sizeof(conf),
		"global: {workers: 2, keep_after: %s}\n"
		"frontends: {f: {bind: \":1\", backend: b}}\n"
		"backends: {b: {servers: {s: {address: \"127.0.0.1:%u\"}}}}\n",
		keep_after, ntohs(origin.sin_port));
	bed_open(&w->bed, conf, w->listeners);
}

static void world_close(struct world *w)
{
	bed_close(&w->bed);
	close(w->traffic.origin);
	close(w->listeners[0]);
	for (uint32_t i = 0; i < w->traffic.count; i++) {
		if (w->traffic.conns[i].serial != 0)
			conn_close(&w->traffic.conns[i]);
	}
	while (w->traffic.npending > 0)
		close(w->traffic.pending[--w->traffic.npending]);
}

static void world_step(struct world *w)
{
	bed_poll(&w->bed);
	traffic_step(&w->traffic);
	bed_reap(&w->bed);
}

static void world_run(struct world *w, uint64_t us)
{
	uint64_t until = clock_now_us() + us;

	do {
		world_step(w);
	} while (clock_now_us() < until);
}

static uint32_t ready_workers(const struct bed *bed)
{
	uint32_t n = 0;

	for (int i = 0; i < BED_SLOTS; i++)
		n += bed->workers[i].pid != 0 && bed->workers[i].ready && !bed->workers[i].died &&
			!bed->workers[i].leaving;
	return n;
}

static void wait_ready(struct world *w, uint32_t count)
{
	while (ready_workers(&w->bed) < count)
		world_step(w);
	bed_give_rest(&w->bed);
}

static struct bed_worker *random_worker(struct bed *bed)
{
	for (;;) {
		struct bed_worker *worker = &bed->workers[rand() % BED_SLOTS];

		if (worker->pid != 0 && worker->ready && !worker->died)
			return worker;
	}
}

static void kill_worker(struct world *w, struct bed_worker *worker)
{
	kill(worker->pid, SIGKILL);
	bed_bury(&w->bed, worker);
}

/* All come to their end, and the shared counts to nothing. */
static void calm_down(struct world *w)
{
	struct shm_shared *shared = shm_shared(w->bed.shm);
	uint64_t until = clock_now_ms() + 20000;

	w->traffic.calm = true;
	while ((traffic_open(&w->traffic) > 0 || shared->active > 0) && clock_now_ms() < until)
		world_step(w);
	for (uint32_t i = 0; i < w->traffic.count; i++) {
		const struct conn *conn = &w->traffic.conns[i];

		if (conn->serial != 0)
			print_message("open: %u kind %u up %llu/%llu %d%d down %llu/%llu %d%d\n", i,
				conn->kind, (unsigned long long)conn->up.received,
				(unsigned long long)conn->up.sent, conn->up.fin_sent,
				conn->up.fin_got, (unsigned long long)conn->down.received,
				(unsigned long long)conn->down.sent, conn->down.fin_sent,
				conn->down.fin_got);
	}
	assert_int_equal(traffic_open(&w->traffic), 0);
	assert_int_equal(shared->active, 0);
	assert_int_equal(shared->frontends[w->bed.conf->frontends[0].place].active, 0);
	assert_int_equal(w->bed.unproven, 0);
	assert_int_equal(w->bed.lost, 0);
}

static void say(const struct world *w, const char *what, unsigned n)
{
	print_message("%u %s: %llu relays moved, %llu pipes and %llu of them given, %llu deposited, %llu ended well, "
		      "%llu MB right, %llu connected anew\n",
		n, what, (unsigned long long)w->bed.moved, (unsigned long long)w->bed.pipes_made, (unsigned long long)w->bed.pipes_given,
		(unsigned long long)w->bed.deposits, (unsigned long long)w->traffic.ended,
		(unsigned long long)w->traffic.bytes >> 20,
		(unsigned long long)w->traffic.retried);
}

/* ------------------------------------------------------------------ dead workers */

static void test_kills(void **state)
{
	static struct world w;
	const unsigned kills = 300;

	(void)state;
	world_open(&w, 54, "0");
	bed_spawn(&w.bed);
	bed_spawn(&w.bed);
	wait_ready(&w, 2);
	for (unsigned i = 0; i < kills; i++) {
		world_run(&w, 1000 + (uint64_t)rand() % 9000);
		kill_worker(&w, random_worker(&w.bed));
		bed_spawn(&w.bed);
		wait_ready(&w, 2);
	}
	calm_down(&w);
	say(&w, "kills", kills);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kills),
	};

	srand((unsigned)time(NULL));
	return cmocka_run_group_tests_name("adopt", tests, NULL, NULL);
}

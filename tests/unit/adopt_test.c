/* Relays between workers: killed at random instants under traffic, told to leave and to shed, with the keeper dying in
 * the middle; nothing is lost, nothing is wrong. The workers are real processes, see adopt_bed.h.
 */
#include "tests/unit/adopt_traffic.h"

#include <sys/time.h>
#include <sys/un.h>

#include "common/ledger.h"

struct world {
	struct bed bed;
	struct traffic traffic;
	int listeners[4];
	uint64_t cut; /* directions that were cut off between sending and dropping */
};

/* What was sent and not dropped, of the relays that it leaves behind. */
static void count_cut(struct bed *bed, uint32_t slot)
{
	struct world *w = (struct world *)(void *)bed; /* its first member */

	for (uint32_t i = 0; i < BED_RECORDS; i++) {
		const struct entry *entry = &w->bed.entries[slot][i];
		struct ledger_side client;
		struct ledger_side server;
		struct ledger_flow flows[2] = {
			{ &client, &server, entry->fds[0], 0, 0, 0, false },
			{ &server, &client, entry->fds[1], 0, 0, 0, false },
		};

		if (entry->state == ENTRY_FREE || ledger_look(entry->fds[0], false, &client) < 0 ||
			client.closed || ledger_look(entry->fds[1], true, &server) < 0 ||
			server.closed)
			continue;
		for (int k = 0; k < 2; k++) {
			struct ledger_found found;

			w->cut += ledger_find(&flows[k], &found) == NULL && found.drop > 0;
		}
	}
}

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
	w->bed.on_buried = count_cut;
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

/* ------------------------------------------------------------------ at any instant */

static volatile sig_atomic_t victim; /* pid; 0 once it was killed */

static void on_alarm(int sig)
{
	(void)sig;
	if (victim > 0)
		kill(victim, SIGKILL);
	victim = 0;
}

/* While we go on: the worker is at work when it is killed, wherever that is. */
static void kill_in(struct world *w, struct bed_worker *worker, long us)
{
	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
	struct itimerval timer = { .it_value = { us / 1000000, us % 1000000 } };

	sigaction(SIGALRM, &action, NULL);
	victim = worker->pid;
	setitimer(ITIMER_REAL, &timer, NULL);
	while (victim != 0)
		world_step(w);
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
	print_message(
		"%u %s: %llu relays moved, %llu pipes and %llu of them given, %llu deposited, %llu ended well, "
		"%llu MB right, %llu connected anew, %llu ways cut\n",
		n, what, (unsigned long long)w->bed.moved, (unsigned long long)w->bed.pipes_made,
		(unsigned long long)w->bed.pipes_given, (unsigned long long)w->bed.deposits,
		(unsigned long long)w->traffic.ended, (unsigned long long)w->traffic.bytes >> 20,
		(unsigned long long)w->traffic.retried, (unsigned long long)w->cut);
}

/* ------------------------------------------------------------------ dead workers */

static void run_kills(unsigned kills, uint32_t conns, long most_us)
{
	static struct world w;

	world_open(&w, conns, "0");
	bed_spawn(&w.bed);
	bed_spawn(&w.bed);
	wait_ready(&w, 2);
	while (!traffic_all_established(&w.traffic))
		world_step(&w);
	for (unsigned i = 0; i < kills; i++) {
		struct bed_worker *worker = random_worker(&w.bed);

		kill_in(&w, worker, 500 + rand() % most_us);
		bed_bury(&w.bed, worker);
		bed_spawn(&w.bed);
		wait_ready(&w, 2);
	}
	calm_down(&w);
	say(&w, "kills", kills);
	world_close(&w);
}

static void test_kills(void **state)
{
	(void)state;
	run_kills(200, 54, 9000);
}

/* Nothing but small messages, many of them. */
static void test_kills_under_small_messages(void **state)
{
	(void)state;
	only = CHAT;
	run_kills(200, 200, 3000);
	only = KINDS;
}

/* Also two of three at once, and while others leave. */
static void test_kills_of_two(void **state)
{
	static struct world w;
	const unsigned rounds = 60;

	(void)state;
	world_open(&w, 54, "0");
	for (int i = 0; i < 3; i++)
		bed_spawn(&w.bed);
	wait_ready(&w, 3);
	for (unsigned i = 0; i < rounds; i++) {
		struct bed_worker *first = random_worker(&w.bed);
		struct bed_worker *second = random_worker(&w.bed);

		world_run(&w, 1000 + (uint64_t)rand() % 9000);
		kill(first->pid, SIGKILL);
		if (rand() % 2 == 0)
			world_run(&w, (uint64_t)rand() % 500);
		if (second != first)
			kill(second->pid, SIGKILL);
		bed_bury(&w.bed, first);
		if (second != first)
			bed_bury(&w.bed, second);
		bed_spawn(&w.bed);
		if (second != first)
			bed_spawn(&w.bed);
		wait_ready(&w, 3);
	}
	calm_down(&w);
	say(&w, "times one or two of three killed", rounds);
	world_close(&w);
}

/* ------------------------------------------------------------------ planned */

static void wait_gone(struct world *w, struct bed_worker *worker)
{
	uint64_t until = clock_now_ms() + 10000;
	int status;

	while (!bed_has_exited(worker)) {
		assert_true(clock_now_ms() < until);
		world_step(w);
	}
	status = bed_bury(&w->bed, worker);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void run_leaves(const char *keep_after, unsigned leaves)
{
	static struct world w;

	world_open(&w, 54, keep_after);
	bed_spawn(&w.bed);
	bed_spawn(&w.bed);
	wait_ready(&w, 2);
	for (unsigned i = 0; i < leaves; i++) {
		struct bed_worker *worker;

		world_run(&w, 1000 + (uint64_t)rand() % 20000);
		worker = random_worker(&w.bed);
		bed_spawn(&w.bed);
		wait_ready(&w, 3);
		bed_leave(worker);
		wait_gone(&w, worker);
	}
	calm_down(&w);
	assert_int_equal(w.bed.back, 0);
	say(&w, "times a worker left", leaves);
	world_close(&w);
}

/* Kept, young, and never kept. */
static void test_leaves(void **state)
{
	(void)state;
	run_leaves("0", 40);
	run_leaves("1s", 40);
	run_leaves("off", 40);
}

static void test_leaves_when_the_keeper_is_full(void **state)
{
	static struct world w;

	(void)state;
	world_open(&w, 54, "0");
	w.bed.full = true;
	bed_spawn(&w.bed);
	wait_ready(&w, 1);
	for (int i = 0; i < 10; i++) {
		struct bed_worker *worker = random_worker(&w.bed);

		world_run(&w, 20000);
		bed_spawn(&w.bed);
		wait_ready(&w, 2);
		bed_leave(worker);
		wait_gone(&w, worker);
	}
	assert_true(w.bed.refused > 0);
	calm_down(&w);
	say(&w, "times a worker left whose relays were not kept", 10);
	world_close(&w);
}

static void test_sheds(void **state)
{
	static struct world w;
	const unsigned sheds = 100;

	(void)state;
	world_open(&w, 54, "50ms");
	bed_spawn(&w.bed);
	bed_spawn(&w.bed);
	wait_ready(&w, 2);
	for (unsigned i = 0; i < sheds; i++) {
		const struct msg_shed shed = { .count = 1 + (uint32_t)rand() % 30 };

		world_run(&w, 1000 + (uint64_t)rand() % 9000);
		bed_send(random_worker(&w.bed)->master, M2W_SHED, &shed, sizeof(shed));
	}
	calm_down(&w);
	say(&w, "times some were shed", sheds);
	world_close(&w);
}

/* A move is under way when the one who lets go, or the one who takes, is killed. */
static void test_kills_in_the_middle_of_a_move(void **state)
{
	static struct world w;
	const unsigned rounds = 100;

	(void)state;
	world_open(&w, 54, "0");
	for (int i = 0; i < 3; i++)
		bed_spawn(&w.bed);
	wait_ready(&w, 3);
	for (unsigned i = 0; i < rounds; i++) {
		const struct msg_shed shed = { .count = 40 };
		struct bed_worker *worker = random_worker(&w.bed);

		world_run(&w, 1000 + (uint64_t)rand() % 9000);
		bed_send(worker->master, M2W_SHED, &shed, sizeof(shed));
		if (rand() % 2 == 0)
			usleep((useconds_t)rand() % 400);
		else
			world_run(&w, (uint64_t)rand() % 400);
		kill_worker(&w, rand() % 2 == 0 ? worker : random_worker(&w.bed));
		bed_spawn(&w.bed);
		wait_ready(&w, 3);
	}
	calm_down(&w);
	say(&w, "kills in the middle of a move", rounds);
	world_close(&w);
}

/* ------------------------------------------------------------------ the keeper */

static void new_keeper(struct world *w)
{
	bed_new_keeper(&w->bed);
	while (!bed_all_answered(&w->bed))
		world_step(w);
	bed_settle(&w->bed);
}

/* It dies while relays are on their way; then a worker dies, whose relays the new one must have. */
static void test_keepers(void **state)
{
	static struct world w;
	const unsigned rounds = 100;

	(void)state;
	world_open(&w, 54, "0");
	bed_spawn(&w.bed);
	bed_spawn(&w.bed);
	wait_ready(&w, 2);
	for (unsigned i = 0; i < rounds; i++) {
		const struct msg_shed shed = { .count = 40 };

		world_run(&w, 1000 + (uint64_t)rand() % 4000);
		bed_send(random_worker(&w.bed)->master, M2W_SHED, &shed, sizeof(shed));
		usleep((useconds_t)rand() % 400);
		if (rand() % 2 == 0)
			bed_poll(&w.bed);
		usleep((useconds_t)rand() % 400);
		bed_kill_keeper(&w.bed);
		world_run(&w, (uint64_t)rand() % 1000);
		new_keeper(&w);
		world_run(&w, 5000);
		if (i % 4 == 0) {
			kill_worker(&w, random_worker(&w.bed));
			bed_spawn(&w.bed);
			wait_ready(&w, 2);
		}
	}
	calm_down(&w);
	say(&w, "keepers killed", rounds);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kills),
		cmocka_unit_test(test_kills_under_small_messages),
		cmocka_unit_test(test_kills_of_two),
		cmocka_unit_test(test_leaves),
		cmocka_unit_test(test_leaves_when_the_keeper_is_full),
		cmocka_unit_test(test_sheds),
		cmocka_unit_test(test_kills_in_the_middle_of_a_move),
		cmocka_unit_test(test_keepers),
	};

	srand((unsigned)time(NULL));
	return cmocka_run_group_tests_name("adopt", tests, NULL, NULL);
}

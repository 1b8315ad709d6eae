/* Relays between workers: killed at random instants under traffic, told to leave and to shed, with the keeper dying in
 * the middle; nothing is lost, nothing is wrong. The workers are real processes, see adopt_bed.h.
 */
#include "common/sums.h"
#include "tests/unit/adopt_traffic.h"

#include <sys/time.h>
#include <sys/un.h>

#include "common/ledger.h"

struct world {
	struct bed bed;
	struct traffic traffic;
	int listeners[4];
	uint64_t cut;     /* directions that were cut off between sending and dropping */
	uint64_t carried; /* the same, between taking and sending */
	uint64_t made_carry;
};

/* What was sent and not dropped, of the relays that it leaves behind. */
static void count_cut(struct bed *bed, uint32_t slot)
{
	struct world *w = (struct world *)(void *)bed; /* its first member */
	const struct carry *carry = shm_carry(bed->shm, slot);

	for (uint32_t i = 0; i < BED_RECORDS; i++) {
		const struct entry *entry = &w->bed.entries[slot][i];
		struct ledger_side client;
		struct ledger_side server;
		struct ledger_flow flows[2] = {
			{ .from = &client, .to = &server, .from_fd = entry->fds[0] },
			{ .from = &server, .to = &client, .from_fd = entry->fds[1] },
		};

		if (entry->state == ENTRY_FREE || ledger_look(entry->fds[0], false, &client) < 0 ||
			client.closed || ledger_look(entry->fds[1], true, &server) < 0 ||
			server.closed)
			continue;
		for (int k = 0; k < 2; k++) {
			struct ledger_found found;

			if (carry_is(carry, entry->id, k == 0))
				flows[k].carry = carry;
			if (ledger_find(&flows[k], &found) != NULL)
				continue;
			w->cut += found.drop > 0;
			w->carried += found.carried > 0;
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

/* Of all that was ever opened nothing is counted twice or forgotten, but for one connection that each killed worker may just
 * have been accepting. Where all went well to their end, so did every byte. */
static void assert_counted(struct world *w, unsigned kills)
{
	const struct traffic *t = &w->traffic;
	struct shm_frontend_sum front;
	struct shm_server_sum back;

	shm_sum_lost(w->bed.shm, w->bed.conf->frontends[0].place);
	shm_sum_frontend(w->bed.shm, w->bed.conf->frontends[0].place, &front);
	shm_sum_backend(w->bed.shm, w->bed.conf->backends[0].place, &back);
	print_message(
		"%u opened: %llu counted, %llu ended, %llu failed, %llu lost; %llu to servers\n",
		t->serial, (unsigned long long)front.total, (unsigned long long)front.ended,
		(unsigned long long)front.failed, (unsigned long long)front.lost,
		(unsigned long long)back.total);
	assert_int_equal(front.active, 0);
	assert_int_equal(front.total, front.ended + front.failed + front.refused + front.lost);
	assert_in_range(front.total, t->serial > kills ? t->serial - kills : 0, t->serial);
	assert_int_equal(front.bytes_in, back.bytes_in);
	assert_int_equal(front.bytes_out, back.bytes_out);
	if (t->retried > 0 || only != CHAT)
		return;
	assert_int_equal(front.total, t->serial);
	assert_int_equal(front.ended, t->serial);
	assert_int_equal(back.total, t->serial);
	assert_int_equal(front.bytes_in + front.bytes_out, t->bytes + t->serial * HELLO_BYTES);
}

static void say(const struct world *w, const char *what, unsigned n)
{
	print_message(
		"%u %s: %llu relays moved, %llu pipes and %llu of them given, %llu deposited, %llu ended well, "
		"%llu MB right, %llu connected anew, %llu ways cut, %llu carried\n",
		n, what, (unsigned long long)w->bed.moved, (unsigned long long)w->bed.pipes_made,
		(unsigned long long)w->bed.pipes_given, (unsigned long long)w->bed.deposits,
		(unsigned long long)w->traffic.ended, (unsigned long long)w->traffic.bytes >> 20,
		(unsigned long long)w->traffic.retried, (unsigned long long)w->cut,
		(unsigned long long)w->carried);
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
	assert_counted(&w, kills);
	say(&w, "kills", kills);
	world_close(&w);
}

/* How many relays the keeper has, of a slot or of all. */
static uint32_t kept(const struct bed *bed, uint32_t of)
{
	uint32_t n = 0;

	for (uint32_t slot = 0; slot < BED_SLOTS; slot++) {
		for (uint32_t i = 0; i < BED_RECORDS; i++)
			n += (of == BED_SLOTS || of == slot) &&
				bed->entries[slot][i].state == ENTRY_KEPT;
	}
	return n;
}

static struct bed_worker *busiest_worker(struct bed *bed)
{
	struct bed_worker *worker = random_worker(bed);

	for (uint32_t slot = 0; slot < BED_SLOTS; slot++) {
		if (kept(bed, slot) > kept(bed, worker->slot))
			worker = &bed->workers[slot];
	}
	return worker;
}

/* As if each worker had died in the middle of carrying: what waits at one of its relays is taken, and some of it sent. */
static void carry_one(struct bed *bed, uint32_t slot)
{
	struct world *w = (struct world *)(void *)bed;
	struct carry *carry = shm_carry(bed->shm, slot);

	count_cut(bed, slot);
	if (carry->relay != 0)
		return;
	for (uint32_t i = 0; i < BED_RECORDS; i++) {
		const struct entry *entry = &bed->entries[slot][i];
		const bool up = rand() % 2 == 0;
		const int from_fd = entry->fds[up ? 0 : 1];
		const int to_fd = entry->fds[up ? 1 : 0];
		struct ledger_side from;
		struct ledger_side to;
		struct ledger_flow flow = { .from = &from, .to = &to, .from_fd = from_fd };
		struct ledger_found found;
		ssize_t taken;

		if (entry->state != ENTRY_KEPT || ledger_look(from_fd, !up, &from) < 0 ||
			ledger_look(to_fd, up, &to) < 0 || from.waiting == 0 ||
			ledger_find(&flow, &found) != NULL || found.drop > 0)
			continue;
		carry_begin(carry, entry->id, up, found.forwarded);
		taken = recv(from_fd, carry->bytes, CARRY_BYTES, 0);
		assert_true(taken > 0);
		(void)!send(to_fd, carry->bytes, (size_t)(rand() % taken), MSG_NOSIGNAL);
		w->made_carry++;
		return;
	}
}

static void test_deaths_while_carrying(void **state)
{
	static struct world w;
	const unsigned deaths = 60;

	(void)state;
	only = CHAT;
	world_open(&w, 60, "0");
	w.bed.on_buried = carry_one;
	bed_spawn(&w.bed);
	bed_spawn(&w.bed);
	wait_ready(&w, 2);
	while (!traffic_all_established(&w.traffic))
		world_step(&w);
	for (unsigned i = 0; i < deaths; i++) {
		struct bed_worker *worker;

		world_run(&w, 2000);
		worker = busiest_worker(&w.bed);
		kill(worker->pid, SIGKILL);
		for (int k = 0; k < 20; k++) /* bytes come for a worker that is dead */
			world_step(&w);
		bed_bury(&w.bed, worker);
		bed_spawn(&w.bed);
		wait_ready(&w, 2);
	}
	calm_down(&w);
	assert_counted(&w, deaths);
	assert_true(w.made_carry > deaths / 2);
	say(&w, "deaths, most of them while carrying", deaths);
	world_close(&w);
	only = KINDS;
}

static void test_kills(void **state)
{
	(void)state;
	run_kills(120, 54, 9000);
}

/* Nothing but small messages, many of them. */
static void test_kills_under_small_messages(void **state)
{
	(void)state;
	only = CHAT;
	run_kills(150, 200, 3000);
	only = KINDS;
}

/* Also two of three at once, and while others leave. */
static void test_kills_of_two(void **state)
{
	static struct world w;
	const unsigned rounds = 40;

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
	assert_counted(&w, 2 * rounds);
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
	assert_counted(&w, 0);
	assert_int_equal(w.bed.back, 0);
	say(&w, "times a worker left", leaves);
	world_close(&w);
}

/* Kept, young, and never kept. */
static void test_leaves(void **state)
{
	(void)state;
	run_leaves("0", 15);
	run_leaves("1s", 15);
	run_leaves("off", 15);
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
	const unsigned sheds = 60;

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
	assert_counted(&w, 0);
	say(&w, "times some were shed", sheds);
	world_close(&w);
}

/* To one whose configuration has no place for them: all come back, and go on. */
static void test_back(void **state)
{
	static struct world w;
	static const char other[] =
		"global: {keep_after: 0}\nfrontends: {g: {bind: \":1\", service: echo}}\n";
	struct conf_errors errors = { 0 };
	struct sockaddr_in nowhere;
	struct bed_worker *worker;
	struct conf *ours;

	(void)state;
	world_open(&w, 54, "0");
	worker = bed_spawn(&w.bed);
	wait_ready(&w, 1);
	while (!traffic_all_established(&w.traffic))
		world_step(&w);
	ours = w.bed.conf;
	w.bed.conf = conf_load_text("other", other, strlen(other), NULL, &errors);
	assert_int_equal(place_objects(w.bed.conf, w.bed.shm), 0);
	w.bed.listeners = (int[]){ listen_here(&nowhere) };
	bed_spawn(&w.bed);
	wait_ready(&w, 2);
	for (int i = 0; i < 20; i++) {
		const struct msg_shed shed = { .count = 40 };

		bed_send(worker->master, M2W_SHED, &shed, sizeof(shed));
		world_run(&w, 10000);
	}
	assert_int_equal(w.bed.moved, 0);
	assert_true(w.bed.back > 100);
	calm_down(&w);
	print_message("%llu came back\n", (unsigned long long)w.bed.back);
	close(w.bed.listeners[0]);
	conf_free(w.bed.conf);
	w.bed.conf = ours;
	world_close(&w);
}

/* A move is under way when the one who lets go, or the one who takes, is killed. */
static void test_kills_in_the_middle_of_a_move(void **state)
{
	static struct world w;
	const unsigned rounds = 50;

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
	assert_counted(&w, rounds);
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

/* A worker's death before that would be one too many. */
static void run_until_kept(struct world *w)
{
	uint64_t until = clock_now_ms() + 5000;

	while (kept(&w->bed, BED_SLOTS) < shm_shared(w->bed.shm)->active) {
		assert_true(clock_now_ms() < until);
		world_step(w);
	}
}

/* It dies while relays are on their way; then a worker dies, whose relays the new one must have. */
static void test_keepers(void **state)
{
	static struct world w;
	const unsigned rounds = 50;

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
			run_until_kept(&w);
			kill_worker(&w, random_worker(&w.bed));
			bed_spawn(&w.bed);
			wait_ready(&w, 2);
		}
	}
	calm_down(&w);
	say(&w, "keepers killed", rounds);
	world_close(&w);
}

/* ------------------------------------------------------------------ services */

#define ECHOES   40
#define WEBS     20
#define ANSWERS  8 /* asked for at once */
#define WEB_TEXT "<html>a page of some bytes</html>"

struct caller {
	int fd;
	bool begun; /* it was answered once: kept from then on */
	uint64_t sent;
	uint64_t received;
};

struct services {
	struct bed bed;
	int listeners[2];
	struct sockaddr_in at[2];
	struct caller callers[ECHOES + WEBS];
	char answer[2048]; /* what the web service says, and how much of it that is */
	size_t answer_bytes;
};

static void caller_open(struct services *s, struct caller *caller)
{
	bool web = caller >= &s->callers[ECHOES];

	memset(caller, 0, sizeof(*caller));
	caller->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(
		connect(caller->fd, (struct sockaddr *)&s->at[web], sizeof(s->at[web])), 0);
	fcntl(caller->fd, F_SETFL, O_NONBLOCK);
}

/* What is expected at this place of the answers. */
static unsigned char caller_byte(const struct services *s, const struct caller *caller, uint64_t at)
{
	if (caller >= &s->callers[ECHOES])
		return (unsigned char)s->answer[at % s->answer_bytes];
	return (unsigned char)((at * 2654435761ULL + (uint64_t)(caller - s->callers)) >> 13);
}

static void caller_ask(struct services *s, struct caller *caller)
{
	static const char ask[] = "GET /some/where HTTP/1.1\r\nHost: here\r\n\r\n";
	unsigned char buf[20000];
	size_t len = 1 + (size_t)rand() % (rand() % 8 == 0 ? sizeof(buf) : 500);
	ssize_t n;

	if (caller >= &s->callers[ECHOES]) {
		if (caller->sent - caller->received > ANSWERS * s->answer_bytes)
			return;
		assert_int_equal(
			send(caller->fd, ask, sizeof(ask) - 1, MSG_NOSIGNAL), sizeof(ask) - 1);
		caller->sent += s->answer_bytes;
		return;
	}
	if (caller->sent - caller->received > 8 << 20)
		return;
	for (size_t i = 0; i < len; i++)
		buf[i] = caller_byte(s, caller, caller->sent + i);
	n = send(caller->fd, buf, len, MSG_NOSIGNAL);
	if (n > 0)
		caller->sent += (uint64_t)n;
}

/* Now and then only: answers wait, and have to wait in the middle. */
static void caller_hear(struct services *s, struct caller *caller)
{
	unsigned char buf[65536];
	ssize_t n;

	if (caller->begun && rand() % 4 != 0)
		return;
	n = recv(caller->fd, buf, 1 + (size_t)rand() % sizeof(buf), 0);
	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		if (caller->begun)
			fail_msg("service of %td: %s after %llu bytes", caller - s->callers,
				n == 0 ? "ended" : strerror(errno),
				(unsigned long long)caller->received);
		close(caller->fd);
		caller_open(s, caller);
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] != caller_byte(s, caller, caller->received + (uint64_t)i))
			fail_msg("service of %td: wrong byte at %llu", caller - s->callers,
				(unsigned long long)(caller->received + (uint64_t)i));
	}
	if (n > 0) {
		caller->received += (uint64_t)n;
		caller->begun = true;
	}
}

static void services_step(struct services *s)
{
	bed_poll(&s->bed);
	for (int i = 0; i < ECHOES + WEBS; i++) {
		caller_ask(s, &s->callers[i]);
		caller_hear(s, &s->callers[i]);
	}
	bed_reap(&s->bed);
}

static void services_learn(struct services *s)
{
	struct caller *caller = &s->callers[ECHOES];
	ssize_t n;

	s->answer_bytes = 1;
	caller_ask(s, caller);
	while ((n = recv(caller->fd, s->answer, sizeof(s->answer), 0)) <= 0)
		bed_poll(&s->bed);
	s->answer_bytes = (size_t)n;
	caller->sent = caller->received = (uint64_t)n;
	assert_non_null(memmem(s->answer, s->answer_bytes, WEB_TEXT, strlen(WEB_TEXT)));
}

static void services_open(struct services *s)
{
	memset(s, 0, sizeof(*s));
	for (int i = 0; i < 2; i++)
		s->listeners[i] = listen_here(&s->at[i]);
	bed_open(&s->bed,
		"global: {workers: 2, keep_after: 0}\n"
		"frontends:\n"
		"  echo: {bind: \":1\", service: echo}\n"
		"  web: {bind: \":2\", service: http, message: \"" WEB_TEXT "\"}\n",
		s->listeners);
	bed_spawn(&s->bed);
	bed_spawn(&s->bed);
	bed_wait_ready(&s->bed);
	for (int i = 0; i < ECHOES + WEBS; i++)
		caller_open(s, &s->callers[i]);
	services_learn(s);
}

static void services_end(struct services *s)
{
	uint64_t until = clock_now_ms() + 10000;
	uint64_t bytes = 0;

	for (int i = 0; i < ECHOES + WEBS; i++) {
		struct caller *caller = &s->callers[i];

		while (caller->received < caller->sent) {
			assert_true(clock_now_ms() < until);
			bed_poll(&s->bed);
			caller_hear(s, caller);
		}
		bytes += caller->received;
		close(caller->fd);
	}
	while (shm_shared(s->bed.shm)->active > 0) {
		assert_true(clock_now_ms() < until);
		bed_poll(&s->bed);
		bed_reap(&s->bed);
	}
	print_message("%llu relays moved, %llu bytes right\n", (unsigned long long)s->bed.moved,
		(unsigned long long)bytes);
	assert_int_equal(s->bed.unproven, 0);
	assert_int_equal(s->bed.lost, 0);
	bed_close(&s->bed);
	close(s->listeners[0]);
	close(s->listeners[1]);
}

static void test_services_whose_worker_is_killed(void **state)
{
	static struct services s;

	(void)state;
	services_open(&s);
	for (int i = 0; i < 80; i++) {
		struct bed_worker *worker;
		uint64_t until = clock_now_us() + 500 + (uint64_t)rand() % 8000;

		while (clock_now_us() < until)
			services_step(&s);
		worker = random_worker(&s.bed);
		usleep((useconds_t)rand() % 100);
		kill(worker->pid, SIGKILL);
		bed_bury(&s.bed, worker);
		bed_spawn(&s.bed);
		bed_wait_ready(&s.bed);
		bed_give_rest(&s.bed);
	}
	services_end(&s);
}

static void test_services_move(void **state)
{
	static struct services s;

	(void)state;
	services_open(&s);
	for (int i = 0; i < 60; i++) {
		const struct msg_shed shed = { .count = 1 + (uint32_t)rand() % 40 };
		uint64_t until = clock_now_us() + 500 + (uint64_t)rand() % 8000;

		while (clock_now_us() < until)
			services_step(&s);
		bed_send(random_worker(&s.bed)->master, M2W_SHED, &shed, sizeof(shed));
	}
	services_end(&s);
}

/* ------------------------------------------------------------------ a Unix socket on one side */

static int listen_unix(struct sockaddr_un *addr_r)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*addr_r = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(addr_r->sun_path, sizeof(addr_r->sun_path), "/tmp/adopt-%d.sock", (int)getpid());
	unlink(addr_r->sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)addr_r, sizeof(*addr_r)), 0);
	assert_int_equal(listen(fd, 64), 0);
	return fd;
}

/* Planned moves work; a dead worker's relay cannot be proven right and is reset on both sides, and counted. */
static void test_unix(void **state)
{
	static struct world w;
	struct sockaddr_un origin;
	char conf[512];
	struct conn *conn = &w.traffic.conns[0];
	char byte;

	(void)state;
	memset(&w, 0, sizeof(w));
	w.traffic.origin = listen_unix(&origin);
	w.listeners[0] = listen_here(&w.traffic.proxy);
	w.traffic.count = 1;
	snprintf(conf, sizeof(conf),
		"global: {keep_after: 0}\n"
		"frontends: {f: {bind: \":1\", backend: b}}\n"
		"backends: {b: {servers: {s: {address: \"unix:%s\"}}}}\n",
		origin.sun_path);
	bed_open(&w.bed, conf, w.listeners);
	bed_spawn(&w.bed);
	bed_spawn(&w.bed);
	wait_ready(&w, 2);
	while (!traffic_all_established(&w.traffic))
		world_step(&w);
	for (int i = 0; i < 50; i++) {
		const struct msg_shed shed = { .count = 1 };

		world_run(&w, 2000);
		bed_send(random_worker(&w.bed)->master, M2W_SHED, &shed, sizeof(shed));
	}
	world_run(&w, 20000);
	assert_true(w.bed.moved > 10);
	assert_true(conn->up.received > 0 && conn->down.received > 0);
	for (int i = 0; i < BED_SLOTS; i++) {
		if (w.bed.workers[i].pid != 0)
			kill(w.bed.workers[i].pid, SIGSTOP);
	}
	for (uint32_t slot = 0; slot < BED_SLOTS && w.bed.unproven == 0; slot++) {
		bool has = false;

		for (uint32_t k = 0; k < BED_RECORDS; k++)
			has |= w.bed.entries[slot][k].state != ENTRY_FREE;
		if (has) {
			kill_worker(&w, &w.bed.workers[slot]);
			break;
		}
	}
	for (int i = 0; i < BED_SLOTS; i++) {
		if (w.bed.workers[i].pid != 0 && !w.bed.workers[i].died)
			kill(w.bed.workers[i].pid, SIGCONT);
	}
	while (w.bed.unproven == 0)
		bed_poll(&w.bed);
	usleep(1000);
	while (recv(conn->client, &byte, 1, 0) > 0)
		continue;
	assert_int_equal(errno, ECONNRESET);
	world_close(&w);
	unlink(origin.sun_path);
}

/* ------------------------------------------------------------------ what it costs */

static uint64_t cpu_us(pid_t pid)
{
	struct timespec ts;
	clockid_t clock;

	assert_int_equal(clock_getcpuclockid(pid, &clock), 0);
	assert_int_equal(clock_gettime(clock, &ts), 0);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void test_cost(void **state)
{
	static struct world w;
	struct bed_worker *first;
	struct bed_worker *second;
	uint64_t before_us;
	uint64_t start_us;
	uint32_t n;

	(void)state;
	only = CHAT;
	world_open(&w, TRAFFIC_MAX, "4s");
	first = bed_spawn(&w.bed);
	wait_ready(&w, 1);
	while (!traffic_all_established(&w.traffic))
		world_step(&w);
	n = TRAFFIC_MAX;
	assert_int_equal(traffic_open(&w.traffic), n);
	assert_int_equal(w.bed.deposits, 0);
	usleep(100000);
	before_us = cpu_us(first->pid);
	while (w.bed.deposits < n)
		bed_poll(&w.bed);
	print_message("%u relays deposited: %.2f us of CPU each\n", n,
		(double)(cpu_us(first->pid) - before_us) / n);
	assert_true((cpu_us(first->pid) - before_us) / n < 10);

	second = bed_spawn(&w.bed);
	wait_ready(&w, 2);
	before_us = cpu_us(first->pid) + cpu_us(second->pid);
	start_us = clock_now_us();
	bed_leave(first);
	while (w.bed.moved < n)
		bed_poll(&w.bed);
	print_message("%u relays moved in %.1f ms, %.2f us of CPU each\n", n,
		(double)(clock_now_us() - start_us) / 1000,
		(double)(cpu_us(first->pid) + cpu_us(second->pid) - before_us) / n);

	bed_spawn(&w.bed);
	wait_ready(&w, 2);
	start_us = clock_now_us();
	kill_worker(&w, second);
	while (w.bed.moved < 2 * (uint64_t)n)
		bed_poll(&w.bed);
	print_message("%u relays of a dead worker in %.1f ms\n", n,
		(double)(clock_now_us() - start_us) / 1000);
	calm_down(&w);
	world_close(&w);
	only = KINDS;
}

/* With an argument: the one test of that name. */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kills),
		cmocka_unit_test(test_kills_under_small_messages),
		cmocka_unit_test(test_deaths_while_carrying),
		cmocka_unit_test(test_kills_of_two),
		cmocka_unit_test(test_leaves),
		cmocka_unit_test(test_leaves_when_the_keeper_is_full),
		cmocka_unit_test(test_sheds),
		cmocka_unit_test(test_back),
		cmocka_unit_test(test_kills_in_the_middle_of_a_move),
		cmocka_unit_test(test_keepers),
		cmocka_unit_test(test_services_whose_worker_is_killed),
		cmocka_unit_test(test_services_move),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_cost),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	srand((unsigned)time(NULL));
	return cmocka_run_group_tests_name("adopt", tests, NULL, NULL);
}

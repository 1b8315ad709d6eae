/* takeover.sock: a keeper on one side, a next master on the other, which is master/change/takeover.c in a process of its own, or the
 * test itself where it shall break the rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/un.h>

#include "master/change/takeover.h"
#include "master/change/takeover_socket.h"
#include "tests/unit/keeper_bed.h"

static char directory[64];
static struct rundir_path path;
static struct takeover_socket file;

static int setup(void **state)
{
	char why[128];
	unsigned before = bed_count_fds();

	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/keeper-test-XXXXXX");
	assert_non_null(mkdtemp(directory));
	path = (struct rundir_path){ .in_tmp = true };
	snprintf(path.text, sizeof(path.text), "%s/takeover.sock", directory);
	assert_int_equal(takeover_socket_open(&path, geteuid(), &file, why, sizeof(why)), 0);
	bed_begin(fcntl(file.fd, F_DUPFD_CLOEXEC, 0));
	bed.fds_before = before;
	log_set_level(LOG_LEVEL_NONE);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_WARN);
	takeover_socket_close(&file, true);
	bed_end();
	assert_int_equal(rmdir(directory), 0);
	return 0;
}

/* ------------------------------------------------------------------ the next master, as a process */

/* What it does after all was told, and finally its exit code says. */
enum next_does { NEXT_TAKES, NEXT_DIES };

static int take_fd =
	-1; /* its end of a pair: a byte from it says that all was told, one to it: go on */

static int next_check(const struct takeover *next)
{
	if (next->shm == NULL || next->foreign || shm_records(next->shm) != BED_RECORDS)
		return 10;
	if (next->nlisteners != 50 || next->listeners[49].fd < 0 ||
		next->listeners[3].what.id != 1003 ||
		next->listeners[3].addr.u.sa.sa_family != AF_UNIX)
		return 11;
	if (next->nchildren != 2 || next->children[1].what.slot != 1 ||
		next->children[1].channel_fd < 0 || next->children[1].pidfd < 0)
		return 12;
	if (next->keeper_pid != getppid() || next->socket_fd < 0)
		return 13;
	return 0;
}

static int next_take(struct takeover *next)
{
	struct boss boss = { 0 };

	bed.base = event_base_new();
	bed_boss(&boss, next->fd);
	takeover_take(boss.line);
	while (boss.yours == 0 && boss.line != NULL)
		event_base_loop(bed.base, EVLOOP_ONCE);
	if (boss.yours == 0)
		return boss.no != 0 ? 20 : 21;
	if (read(take_fd, &boss.ends, 1) < 0)
		return 22;
	return 0;
}

static int next_main(enum next_does does)
{
	struct takeover next;
	char byte = 'x';
	int code;

	switch (takeover_connect(path.text, &next)) {
	case TAKEOVER_NONE:
		return 1;
	case TAKEOVER_REFUSED:
		return next.master_pid == getppid() ? 2 : 3;
	case TAKEOVER_FAILED:
		fprintf(stderr, "failed: %s\n", next.why);
		return 4;
	case TAKEOVER_READY:
		break;
	}
	code = next_check(&next);
	if (code != 0)
		return code;
	if (write(take_fd, &byte, 1) != 1 || read(take_fd, &byte, 1) != 1)
		return 5;
	return does == NEXT_TAKES ? next_take(&next) : 0;
}

static pid_t next_start(enum next_does does, int *fd_r)
{
	int pair[2];
	pid_t pid;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* The keeper's ends are not to be held open here. */
		take_fd = dup2(pair[1], 500);
		close_range(3, 499, 0);
		_exit(next_main(does));
	}
	close(pair[1]);
	*fd_r = pair[0];
	return pid;
}

static bool next_ended(pid_t pid, int *code_r)
{
	int status;

	if (waitpid(pid, &status, WNOHANG) != pid)
		return false;
	assert_true(WIFEXITED(status));
	*code_r = WEXITSTATUS(status);
	return true;
}

/* Runs the keeper until the process has ended. */
static int next_wait(pid_t pid)
{
	int code = -1;

	for (unsigned i = 0; i < 5000 && !next_ended(pid, &code); i++) {
		event_base_loop(bed.base, EVLOOP_NONBLOCK);
		usleep(1000);
	}
	return code;
}

static void next_wait_told(int fd)
{
	char byte;

	for (unsigned i = 0; i < 5000 && recv(fd, &byte, 1, MSG_DONTWAIT) != 1; i++) {
		event_base_loop(bed.base, EVLOOP_NONBLOCK);
		usleep(1000);
	}
}

static void expect_pid(pid_t pid)
{
	const struct msg_expect expect = { .pid = pid };

	BED_SAY(bed.boss.line, M2K_EXPECT, expect, NULL, 0);
	bed_run();
}

static void add_listeners(void)
{
	for (uint32_t i = 0; i < 50; i++) {
		struct sockaddr_un addr = { .sun_family = AF_UNIX };
		const struct msg_kept_listener what = {
			.id = 1000 + i, .frontend = i, .home = i % 2
		};
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "keeper-%d-%u", getpid(),
			(unsigned)i);
		assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
		assert_int_equal(listen(fd, 5), 0);
		BED_SAY(bed.boss.line, M2K_LISTENER, what, &fd, 1);
		close(fd);
	}
	bed_run();
}

static void boss_dies(void)
{
	channel_free(bed.boss.line);
	bed.boss.line = NULL;
	bed_run();
}

/* ------------------------------------------------------------------ honest ones */

static void refuses_while_the_master_lives(void **state)
{
	int fd;
	pid_t pid = next_start(NEXT_DIES, &fd);

	(void)state;
	/* The keeper's master is its parent: here that of the whole test. */
	assert_int_equal(next_wait(pid), 3);
	close(fd);
	assert_int_equal(bed.boss.ends, 0);
}

static void is_taken_over_from_a_dead_master(void **state)
{
	struct fake *a;
	pid_t pid;
	char byte = 'x';
	int code;
	int fd;

	(void)state;
	add_listeners();
	bed_worker(0);
	a = bed_worker(1);
	fake_deposit(a, 0, 10, 0);
	bed_run();
	boss_dies();
	pid = next_start(NEXT_TAKES, &fd);
	next_wait_told(fd);
	assert_int_equal(bed_kept(), 1);
	assert_int_equal(write(fd, &byte, 1), 1);
	/* it has it: nobody else may */
	for (unsigned i = 0; i < 100; i++) {
		event_base_loop(bed.base, EVLOOP_NONBLOCK);
		usleep(1000);
	}
	{
		int second_fd;
		pid_t second = next_start(NEXT_DIES, &second_fd);

		assert_int_equal(next_wait(second), 3);
		close(second_fd);
	}
	assert_int_equal(write(fd, &byte, 1), 1);
	assert_int_equal(next_wait(pid), 0);
	close(fd);
	/* it went as well: the keeper stays with the workers */
	bed_run();
	assert_false(keeper_over(bed.keeper, &code));
	assert_int_equal(bed_kept(), 1);
}

static void nothing_changes_when_the_next_dies(void **state)
{
	char byte = 'x';
	pid_t pid;
	int fd;

	(void)state;
	add_listeners();
	bed_worker(0);
	bed_worker(1);
	for (unsigned i = 0; i < 3; i++) {
		pid = next_start(NEXT_DIES, &fd);
		expect_pid(pid);
		next_wait_told(fd);
		assert_int_equal(write(fd, &byte, 1), 1);
		assert_int_equal(next_wait(pid), 0);
		close(fd);
		bed_run();
		assert_int_equal(bed.boss.taken + bed.boss.ends, 0);
		assert_non_null(bed.boss.line);
	}
	/* the master is still heard */
	bed_give(3);
	bed_run();
	assert_int_equal(bed.boss.given, 1);
}

static void master_leaves_for_the_expected(void **state)
{
	pid_t pid;
	int fd;

	(void)state;
	add_listeners();
	bed_worker(0);
	bed_worker(1);
	bed.boss.leaves = true;
	pid = next_start(NEXT_TAKES, &fd);
	expect_pid(pid);
	next_wait_told(fd);
	assert_int_equal(bed.boss.taken, 0);
	assert_int_equal(write(fd, "xx", 2), 2);
	assert_int_equal(next_wait(pid), 0);
	assert_int_equal(bed.boss.taken, 1);
	assert_null(bed.boss.line);
	close(fd);
}

/* The next one has an old list then. */
static void refuses_when_children_have_changed(void **state)
{
	pid_t pid;
	int fd;

	(void)state;
	add_listeners();
	bed_worker(0);
	bed_worker(1);
	pid = next_start(NEXT_TAKES, &fd);
	expect_pid(pid);
	next_wait_told(fd);
	bed_worker(2);
	assert_int_equal(write(fd, "xx", 2), 2);
	assert_int_equal(next_wait(pid), 20);
	assert_int_equal(bed.boss.taken, 0);
	close(fd);
}

/* ------------------------------------------------------------------ others */

static int dial(void)
{
	struct sockaddr_any addr;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	assert_int_equal(sockaddr_from_path(path.text, &addr), 0);
	assert_int_equal(connect(fd, &addr.u.sa, addr.len), 0);
	bed_run();
	return fd;
}

/* What a next master of another version hears. */
struct heard {
	struct channel *line;
	struct msg_hello hello;
	unsigned shm;
	unsigned sockets;
	unsigned listeners;
	unsigned children;
	unsigned end;
	unsigned yours;
	unsigned no;
	struct msg_no last_no;
	unsigned ends;
};

static void on_heard_message(struct channel *channel, struct message *message, void *arg)
{
	struct heard *heard = arg;
	size_t count;

	(void)channel;
	switch (message->type) {
	case K2M_HELLO:
		heard->hello = *(const struct msg_hello *)message_payload(message, K2M_HELLO, NULL);
		break;
	case K2M_SHM:
		heard->shm++;
		break;
	case K2M_SOCKET:
		heard->sockets++;
		break;
	case K2M_LISTENER:
		message_payload(message, K2M_LISTENER, &count);
		heard->listeners += (unsigned)count;
		break;
	case K2M_CHILD:
		heard->children++;
		break;
	case K2M_END:
		heard->end++;
		break;
	case K2M_YOURS:
		heard->yours++;
		break;
	case K2M_NO:
		heard->no++;
		heard->last_no = *(const struct msg_no *)message_payload(message, K2M_NO, NULL);
		break;
	default:
		fail_msg("heard %s", message_type_name(message->type));
	}
}

static void on_heard_end(struct channel *channel, enum channel_end end, const char *why, void *arg)
{
	struct heard *heard = arg;

	(void)end;
	(void)why;
	heard->ends++;
	heard->line = NULL;
	channel_free(channel);
}

static void hear(struct heard *heard)
{
	const struct channel_handlers handlers = { on_heard_message, on_heard_end, heard, NULL };

	memset(heard, 0, sizeof(*heard));
	heard->line = channel_new(bed.base, dial(), CHANNEL_MASTER, &handlers);
}

static void say_hello(struct heard *heard, uint32_t takeover, uint32_t shm, uint32_t bytes)
{
	const struct msg_hello hello = {
		.magic = MSG_HELLO_MAGIC,
		.takeover = takeover,
		.shm = shm,
		.record_bytes = bytes,
		.pid = getpid(),
	};

	BED_SAY(heard->line, M2K_HELLO, hello, NULL, 0);
	bed_run();
}

/* Listeners and children, no memory; and the keeper stays as long as there are workers, although that master lives and
 * never speaks again. */
static void other_versions_get_the_listeners(void **state)
{
	static const uint32_t versions[][3] = {
		{ TAKEOVER_VERSION + 1, SHM_VERSION, sizeof(struct relay_record) },
		{ TAKEOVER_VERSION, SHM_VERSION + 1, sizeof(struct relay_record) },
		{ TAKEOVER_VERSION, SHM_VERSION, sizeof(struct relay_record) + 8 },
	};
	struct heard heard = { 0 };
	struct fake *a;
	int code;

	(void)state;
	add_listeners();
	a = bed_worker(0);
	fake_deposit(a, 0, 10, 0);
	boss_dies();
	for (unsigned i = 0; i < NELEMS(versions); i++) {
		hear(&heard);
		say_hello(&heard, versions[i][0], versions[i][1], versions[i][2]);
		assert_int_equal(heard.hello.takeover, TAKEOVER_VERSION);
		assert_int_equal(heard.hello.shm, SHM_VERSION);
		assert_int_equal(heard.hello.pid, getpid());
		assert_int_equal(heard.shm, 0);
		assert_int_equal(heard.sockets, 1);
		assert_int_equal(heard.listeners, 50);
		assert_int_equal(heard.children, 1);
		assert_int_equal(heard.end, 1);
		if (i + 1 < NELEMS(versions))
			channel_free(heard.line);
		bed_run();
	}
	bed_say(heard.line, M2K_TAKE, NULL, 0, NULL, 0);
	bed_run();
	assert_int_equal(heard.yours, 1);
	assert_int_equal(heard.ends, 0);
	fake_forget(a, 0, 10); /* it drains */
	bed_run();
	assert_false(keeper_over(bed.keeper, &code));
	assert_int_equal(bed_kept(), 0);
	fake_die(a);
	bed_run();
	assert_true(keeper_over(bed.keeper, &code));
	assert_int_equal(code, 0);
	channel_free(heard.line);
}

static void one_at_a_time(void **state)
{
	struct heard first = { 0 };
	struct heard second = { 0 };

	(void)state;
	bed_worker(0);
	boss_dies();
	hear(&first);
	say_hello(&first, TAKEOVER_VERSION, SHM_VERSION, sizeof(struct relay_record));
	assert_int_equal(first.shm, 1);
	hear(&second);
	bed_run();
	assert_int_equal(second.no, 1);
	assert_int_equal(second.ends, 1);
	channel_free(first.line);
	bed_run();
	hear(&second);
	say_hello(&second, TAKEOVER_VERSION, SHM_VERSION, sizeof(struct relay_record));
	assert_int_equal(second.end, 1);
	/* what is said out of turn */
	say_hello(&second, TAKEOVER_VERSION, SHM_VERSION, sizeof(struct relay_record));
	assert_int_equal(second.no, 1);
	assert_int_equal(second.ends, 1);
}

static void garbage_is_no_master(void **state)
{
	static const char *const texts[] = { "GET / HTTP/1.1\r\n\r\n", "", "x" };
	struct heard heard = { 0 };
	int fd;
	char bytes[512];

	(void)state;
	bed_worker(0);
	for (unsigned i = 0; i < NELEMS(texts); i++) {
		fd = dial();
		assert_int_equal(send(fd, texts[i], strlen(texts[i]), 0), strlen(texts[i]));
		bed_run();
		assert_true(recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) <= 0);
		close(fd);
		bed_run();
	}
	/* a hello that is none, and a take before it */
	hear(&heard);
	bed_say(heard.line, M2K_TAKE, NULL, 0, NULL, 0);
	bed_run();
	assert_int_equal(heard.no, 1);
	hear(&heard);
	{
		const struct msg_hello hello = { .magic = 1 };

		BED_SAY(heard.line, M2K_HELLO, hello, NULL, 0);
	}
	bed_run();
	assert_int_equal(heard.no, 1);
	/* and none of it came near the master */
	assert_int_equal(bed.boss.ends + bed.boss.taken, 0);
}

static void another_user_may_not(void **state)
{
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(directory, 0755), 0);
	assert_int_equal(chmod(path.text, 0666), 0);
	boss_dies();
	pid = fork();
	if (pid == 0) {
		struct sockaddr_any addr;
		int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
		uint32_t header[4] = { 0 };
		char bytes[512];

		if (setuid(65534) < 0 || sockaddr_from_path(path.text, &addr) < 0 ||
			connect(fd, &addr.u.sa, addr.len) < 0)
			_exit(9);
		if (recv(fd, bytes, sizeof(bytes), 0) < (ssize_t)sizeof(header))
			_exit(8);
		memcpy(header, bytes, sizeof(header));
		_exit(header[0] == K2M_NO ? 0 : 7);
	}
	assert_int_equal(next_wait(pid), 0);
}

/* ------------------------------------------------------------------ the file */

static void a_dead_file_is_replaced(void **state)
{
	struct takeover_socket second;
	struct takeover next;
	struct rundir_path control = { .in_tmp = true };
	struct rundir_path beside;
	struct stat st;
	char why[128];

	(void)state;
	/* somebody listens */
	assert_int_equal(takeover_socket_open(&path, geteuid(), &second, why, sizeof(why)), -1);
	assert_string_equal(why, strerror(EADDRINUSE));
	assert_int_equal(stat(path.text, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* nobody does: the keeper of this test is gone, and our copy too */
	keeper_free(bed.keeper);
	bed.keeper = NULL;
	takeover_socket_close(&file, false);
	assert_int_equal(takeover_connect(path.text, &next), TAKEOVER_NONE);
	assert_int_equal(takeover_socket_open(&path, geteuid(), &file, why, sizeof(why)), 0);
	/* found again by what another made */
	assert_int_equal(takeover_socket_take(&path, fcntl(file.fd, F_DUPFD_CLOEXEC, 0), &second,
				 why, sizeof(why)),
		0);
	takeover_socket_close(&second, false);
	assert_int_equal(access(path.text, F_OK), 0);
	takeover_socket_close(&file, true);
	assert_int_equal(access(path.text, F_OK), -1);
	assert_int_equal(takeover_connect(path.text, &next), TAKEOVER_NONE);

	snprintf(control.text, sizeof(control.text), "/run/x/control.sock");
	assert_int_equal(takeover_path(&control, &beside), 0);
	assert_string_equal(beside.text, "/run/x/takeover.sock");
	snprintf(control.text, sizeof(control.text), "c.sock");
	assert_int_equal(takeover_path(&control, &beside), 0);
	assert_string_equal(beside.text, "c.sock.takeover");
}

/* Whoever answers there may be anything. */
static void next_believes_nothing(void **state)
{
	struct takeover next;
	pid_t pid;
	int status;

	(void)state;
	keeper_free(bed.keeper);
	bed.keeper = NULL;
	for (unsigned i = 0; i < 3; i++) {
		pid = fork();
		if (pid == 0) {
			int fd = accept(file.fd, NULL, NULL);

			fcntl(file.fd, F_SETFL, 0);
			if (fd < 0)
				fd = accept(file.fd, NULL, NULL);
			if (i == 0)
				_exit(send(fd, "no message", 10, 0) == 10 ? 0 : 1);
			if (i == 1)
				_exit(0);
			{
				const struct msg_hello hello = { .magic = MSG_HELLO_MAGIC,
					.takeover = TAKEOVER_VERSION,
					.shm = SHM_VERSION,
					.record_bytes = sizeof(struct relay_record),
					.pid = getpid() };
				uint32_t header[4] = { K2M_HELLO, sizeof(hello), 0, 0 };
				char bytes[sizeof(header) + sizeof(hello)];

				memcpy(bytes, header, sizeof(header));
				memcpy(bytes + sizeof(header), &hello, sizeof(hello));
				send(fd, bytes, sizeof(bytes), 0);
				header[0] = K2M_END;
				header[1] = 0;
				send(fd, header, sizeof(header), 0);
				recv(fd, bytes, sizeof(bytes), 0);
				recv(fd, bytes, sizeof(bytes), 0);
				_exit(0);
			}
		}
		assert_int_equal(takeover_connect(path.text, &next),
			i == 1 ? TAKEOVER_NONE : TAKEOVER_FAILED);
		assert_int_equal(waitpid(pid, &status, 0), pid);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(refuses_while_the_master_lives),
		TEST(is_taken_over_from_a_dead_master),
		TEST(nothing_changes_when_the_next_dies),
		TEST(master_leaves_for_the_expected),
		TEST(refuses_when_children_have_changed),
		TEST(other_versions_get_the_listeners),
		TEST(one_at_a_time),
		TEST(garbage_is_no_master),
		TEST(another_user_may_not),
		TEST(a_dead_file_is_replaced),
		TEST(next_believes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

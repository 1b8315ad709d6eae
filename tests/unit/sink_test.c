/* Lines that go out whole, or not at all and counted, whatever is behind the sink. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/sink.h"
#include "common/sockaddr.h"

static char dir[64];
static char path[96];
static char text[256 * 1024]; /* what was read last */

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/proxyd-sink-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return -1;
	snprintf(path, sizeof(path), "%s/out", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

static struct sink *must_open(const char *to)
{
	const char *error = "";
	struct sink *sink = sink_open(to, &error);

	if (sink == NULL)
		fail_msg("%s: %s", to, error);
	return sink;
}

/* A sink of its own description on the pipe's writing end. */
static struct sink *must_open_pipe(int fds_r[2])
{
	char to[32];

	assert_int_equal(pipe2(fds_r, O_CLOEXEC | O_NONBLOCK), 0);
	snprintf(to, sizeof(to), "/proc/self/fd/%d", fds_r[1]);
	return must_open(to);
}

static size_t read_more(int fd, size_t len)
{
	ssize_t n;

	while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	return len;
}

static size_t read_all(int fd)
{
	return read_more(fd, 0);
}

static size_t read_path(void)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len;

	assert_true(fd >= 0);
	len = read_all(fd);
	close(fd);
	return len;
}

/* Runs with fd as stderr; gives the sink on it. The real stderr is back afterwards. */
static struct sink *must_open_as_stderr(int fd, int *saved_r)
{
	*saved_r = dup(STDERR_FILENO);
	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	return must_open("stderr");
}

static void stderr_back(int saved)
{
	dup2(saved, STDERR_FILENO);
	close(saved);
}

static void put(struct sink *sink, const char *line)
{
	sink_write(sink, 6, line, strlen(line));
}

static void test_file(void **state)
{
	struct sink *sink = must_open(path);
	struct stat st;
	int fds[2];

	(void)state;
	put(sink, "one");
	sink_append(sink, "two", 3);
	read_path();
	assert_string_equal(text, "one\n");
	put(sink, "three"); /* keeps the order */
	read_path();
	assert_string_equal(text, "one\ntwo\nthree\n");
	assert_int_equal(sink_fds(sink, fds), 1);
	assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	sink_append(sink, "four", 4);
	sink_close(sink);
	sink = must_open(path);
	put(sink, "five");
	sink_close(sink);
	read_path();
	assert_string_equal(text, "one\ntwo\nthree\nfour\nfive\n");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07137, 0);
}

static void test_cannot_open(void **state)
{
	const char *error = NULL;

	(void)state;
	assert_null(sink_open("/nonexistent/x", &error));
	assert_string_equal(error, "cannot open /nonexistent/x: No such file or directory");
	assert_null(sink_open_syslog_at("/nonexistent/log", &error));
	assert_non_null(strstr(error, "/nonexistent/log"));
}

/* What was read is whole lines of len times c, and notes. Returns how many lines, and adds to *told what
 * the notes say. A note is short: it may find room where the next line does not. */
static unsigned count_lines(char c, size_t len, const char *note, unsigned *told)
{
	const char only[] = { c, '\0' };
	unsigned lines = 0;
	char *rest = text;

	for (char *line = strsep(&rest, "\n"); rest != NULL; line = strsep(&rest, "\n")) {
		if (strncmp(line, note, strlen(note)) == 0) {
			*told += (unsigned)strtoul(line + strlen(note), NULL, 10);
			continue;
		}
		assert_int_equal(strlen(line), len);
		assert_int_equal(strspn(line, only), len);
		lines++;
	}
	return lines;
}

static void test_full_pipe(void **state)
{
	char line[1000];
	int fds[2];
	struct sink *sink = must_open_pipe(fds);
	unsigned sent = 0, told = 0;

	(void)state;
	memset(line, 'x', sizeof(line));
	while (sink_lost(sink) < 5 && sent < 10000) {
		errno = 4711;
		sink_write(sink, 6, line, sizeof(line));
		assert_int_equal(errno, 4711);
		sent++;
	}
	assert_in_range(sent, 6, 9999);
	read_all(fds[0]);
	assert_int_equal(count_lines('x', 1000, "proxyd: ", &told), sent - 5);
	put(sink, "again");
	put(sink, "and again");
	read_all(fds[0]);
	assert_non_null(strstr(text, " log lines were lost\nagain\nand again\n"));
	assert_string_equal(text + strlen(text) - 17, "\nagain\nand again\n");
	*strstr(text, "again") = '\0';
	count_lines('x', 1000, "proxyd: ", &told);
	assert_int_equal(told, 5);
	assert_int_equal(sink_lost(sink), 5);
	sink_close(sink);
	close(fds[0]);
	close(fds[1]);
}

static size_t json_note(uint64_t lost, char *line, size_t bytes)
{
	return (size_t)snprintf(line, bytes, "{\"lost\":%u}", (unsigned)lost);
}

static void test_appended_lines_through_a_pipe(void **state)
{
	char line[100];
	int fds[2];
	struct sink *sink = must_open_pipe(fds);
	unsigned sent = 0, came = 0, told = 0;

	(void)state;
	sink_set_note(sink, json_note);
	memset(line, 'a', sizeof(line));
	while (sink_lost(sink) == 0 && sent < 100000) {
		sink_append(sink, line, sizeof(line));
		sent++;
	}
	/* The pipe took 64 KiB, the buffer as much: nothing of it is torn. */
	for (int i = 0; i < 4; i++) {
		read_all(fds[0]);
		came += count_lines('a', 100, "{\"lost\":", &told);
		sink_flush(sink);
	}
	assert_int_equal(came, sent - 1);
	assert_int_equal(told, 1);
	sink_close(sink);
	close(fds[0]);
	close(fds[1]);
}

static void test_device_that_is_full(void **state)
{
	struct sink *sink = must_open("/dev/full");

	(void)state;
	for (int i = 0; i < 3; i++)
		put(sink, "line");
	assert_int_equal(sink_lost(sink), 3);
	for (int i = 0; i < 20000; i++)
		sink_append(sink, "appended", 8);
	sink_flush(sink);
	assert_true(sink_lost(sink) > 10000);
	sink_close(sink);
}

static void test_long_lines_are_cut(void **state)
{
	char line[6000];
	struct sink *sink = must_open(path);

	(void)state;
	unlink(path);
	sink_close(sink);
	sink = must_open(path);
	memset(line, 'l', sizeof(line));
	sink_write(sink, 6, line, sizeof(line));
	sink_append(sink, line, sizeof(line));
	sink_flush(sink);
	assert_int_equal(read_path(), 2 * 4096);
	assert_int_equal(text[4095], '\n');
	assert_int_equal(text[8191], '\n');
	sink_close(sink);
}

/* A stream socket takes part of a line: the rest of it comes before anything else. */
static void test_part_of_a_line_is_finished_first(void **state)
{
	char line[1000];
	int fds[2], saved, small = 1;
	unsigned told = 0;
	struct sink *sink;
	size_t len;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	sink = must_open_as_stderr(fds[1], &saved);
	memset(line, 'p', sizeof(line));
	for (int i = 0; i < 50; i++)
		sink_append(sink, line, sizeof(line));
	put(sink, "lost");
	len = read_all(fds[0]);
	assert_int_not_equal(len % 1001, 0); /* else this tests nothing */
	for (int i = 0; i < 50; i++) {
		sink_flush(sink);
		len = read_more(fds[0], len);
	}
	put(sink, "end");
	read_more(fds[0], len);
	stderr_back(saved);
	assert_string_equal(text + 50050, "proxyd: 1 log lines were lost\nend\n");
	text[50050] = '\0';
	assert_int_equal(count_lines('p', 1000, "proxyd: ", &told), 50);
	sink_close(sink);
	close(fds[0]);
	close(fds[1]);
}

static void test_stderr_stays_as_the_shell_had_it(void **state)
{
	int fds[2], saved;
	struct sink *sink;
	char line[1024];

	(void)state;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	sink = must_open_as_stderr(fds[1], &saved);
	assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
	memset(line, 'q', sizeof(line));
	for (int i = 0; i < 200; i++) /* would block for ever */
		sink_write(sink, 6, line, sizeof(line));
	assert_true(sink_lost(sink) > 100);
	stderr_back(saved);
	sink_close(sink);
	close(fds[0]);
	close(fds[1]);
}

static void test_stderr_as_a_file_is_appended_to(void **state)
{
	int saved, fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	struct sink *sink = must_open_as_stderr(fd, &saved);

	(void)state;
	put(sink, "ours");
	assert_int_equal(write(STDERR_FILENO, "theirs\n", 7), 7);
	put(sink, "ours");
	read_path();
	assert_string_equal(text, "ours\ntheirs\nours\n");
	assert_int_equal(truncate(path, 0), 0); /* as logrotate's copytruncate: no hole */
	put(sink, "after");
	stderr_back(saved);
	sink_close(sink);
	close(fd);
	assert_int_equal(read_path(), 6);
}

/* Two processes, one description. Every line is of one letter. */
static void write_from_two(struct sink *sink)
{
	char line[900];
	pid_t pid;

	sink_append(sink, "of the parent", 13); /* not to be written twice */
	pid = fork();
	assert_true(pid >= 0);
	memset(line, pid == 0 ? 'c' : 'p', sizeof(line));
	for (int i = 0; i < 60; i++) {
		if (i % 2 == 0)
			sink_append(sink, line, sizeof(line));
		else
			sink_write(sink, 6, line, sizeof(line));
	}
	sink_flush(sink);
	if (pid == 0)
		_exit(sink_lost(sink) > 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void assert_lines_whole(void)
{
	unsigned parents = 0;
	char *rest = text;

	for (char *line = strsep(&rest, "\n"); rest != NULL; line = strsep(&rest, "\n")) {
		if (strcmp(line, "of the parent") == 0) {
			parents++;
			continue;
		}
		assert_int_equal(strspn(line, line[0] == 'c' ? "c" : "p"), 900);
		assert_int_equal(strlen(line), 900);
	}
	assert_int_equal(parents, 1);
}

static void test_two_processes_on_a_file(void **state)
{
	struct sink *sink;

	(void)state;
	unlink(path);
	sink = must_open(path);
	write_from_two(sink);
	assert_int_equal(read_path(), 120 * 901 + 14);
	assert_lines_whole();
	sink_close(sink);
}

static void test_two_processes_on_a_pipe(void **state)
{
	int fds[2];
	struct sink *sink = must_open_pipe(fds);

	(void)state;
	assert_true(fcntl(fds[1], F_SETPIPE_SZ, 256 * 1024) >= 0);
	write_from_two(sink);
	assert_int_equal(read_all(fds[0]), 120 * 901 + 14);
	assert_lines_whole();
	sink_close(sink);
	close(fds[0]);
	close(fds[1]);
}

static int bind_syslog(void)
{
	struct sockaddr_any addr;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(sockaddr_from_path(path, &addr), 0);
	unlink(path);
	assert_int_equal(bind(fd, &addr.u.sa, addr.len), 0);
	return fd;
}

static void test_syslog(void **state)
{
	const char *error = "";
	int fd = bind_syslog();
	struct sink *sink = sink_open_syslog_at(path, &error);
	char tag[64];

	(void)state;
	assert_non_null(sink);
	snprintf(tag, sizeof(tag), " proxyd[%d]: ", (int)getpid());
	sink_write(sink, 4, "careful", 7);
	read_all(fd);
	assert_memory_equal(text, "<28>", 4);
	assert_non_null(strstr(text, tag));
	assert_string_equal(strstr(text, tag) + strlen(tag), "careful");
	close(fd);
	put(sink, "to nobody");
	assert_int_equal(sink_lost(sink), 1);
	fd = bind_syslog();
	/* It tries again once a second at most. */
	put(sink, "too early");
	assert_int_equal(sink_lost(sink), 2);
	sink_close(sink);
	sink = sink_open_syslog_at(path, &error);
	assert_non_null(sink);
	close(fd);
	fd = bind_syslog();
	put(sink, "after a restart");
	assert_int_equal(sink_lost(sink), 0);
	assert_true(read_all(fd) > 0);
	assert_non_null(strstr(text, ": after a restart"));
	sink_close(sink);
	close(fd);
}

/* ------------------------------------------------------------------ another place */

static void test_file_moved_away(void **state)
{
	struct sink *sink;
	const char *error = "";
	char moved[112];

	(void)state;
	unlink(path);
	sink = must_open(path);
	snprintf(moved, sizeof(moved), "%s.1", path);
	put(sink, "one");
	sink_append(sink, "two", 3);
	assert_int_equal(rename(path, moved), 0);
	assert_int_equal(sink_reopen(sink, path, &error), 0);
	put(sink, "three");
	read_path();
	assert_string_equal(text, "three\n");
	assert_int_equal(rename(moved, path), 0);
	read_path();
	assert_string_equal(text, "one\ntwo\n");
	/* What cannot be opened leaves it as it is. */
	assert_int_equal(sink_reopen(sink, dir, &error), -1);
	assert_non_null(strstr(error, dir));
	assert_int_equal(sink_reopen(sink, "stderr", &error), 0);
	assert_int_equal(sink_lost(sink), 0);
	sink_close(sink);
}

static void test_follows_another(void **state)
{
	struct sink *file = must_open(path);
	struct sink_place place = sink_place(file);
	struct sink *sink;
	int fds[2];
	size_t len;

	(void)state;
	sink = must_open_pipe(fds);
	/* What the old place does not take is lost, and is said at the new one. */
	for (int i = 0; i < 3000; i++)
		sink_append(sink, "0123456789012345678901234567890123456789", 40);
	sink_flush(sink);
	place.fd = dup(place.fd);
	assert_ptr_equal(sink_follow(sink, &place), sink);
	assert_true(sink_lost(sink) > 0);
	put(sink, "here");
	len = read_path();
	assert_true(len > 5 && strcmp(text + len - 5, "here\n") == 0);
	assert_non_null(strstr(text, "lines were lost\n"));
	/* A place that is none. */
	place.kind = 4711;
	place.fd = dup(STDOUT_FILENO);
	assert_null(sink_follow(sink, &place));
	put(sink, "there");
	place = sink_place(file);
	place.fd = dup(place.fd);
	sink_close(sink);
	sink = sink_follow(NULL, &place);
	assert_non_null(sink);
	put(sink, "new");
	len = read_path();
	assert_true(strcmp(text + len - 15, "here\nthere\nnew\n") == 0);
	sink_close(sink);
	sink_close(file);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_cannot_open),
		cmocka_unit_test(test_full_pipe),
		cmocka_unit_test(test_appended_lines_through_a_pipe),
		cmocka_unit_test(test_device_that_is_full),
		cmocka_unit_test(test_long_lines_are_cut),
		cmocka_unit_test(test_part_of_a_line_is_finished_first),
		cmocka_unit_test(test_stderr_stays_as_the_shell_had_it),
		cmocka_unit_test(test_stderr_as_a_file_is_appended_to),
		cmocka_unit_test(test_two_processes_on_a_file),
		cmocka_unit_test(test_two_processes_on_a_pipe),
		cmocka_unit_test(test_file_moved_away),
		cmocka_unit_test(test_follows_another),
		cmocka_unit_test(test_syslog),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("sink", tests, setup, teardown);
}

/* The control path without a daemon: lines, commands and roles, the socket's file, views of shared memory (also
 * of what a hostile worker wrote there), tables and JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <event2/buffer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/counts.h"
#include "common/shm.h"
#include "common/sockaddr.h"
#include "conf/conf.h"
#include "conf/load.h"
#include "master/control/answer.h"
#include "master/control/line.h"
#include "master/control/socket.h"
#include "master/control/verbs.h"
#include "master/place.h"
#include "master/views/print.h"
#include "master/views/views.h"

/* ------------------------------------------------------------------ lines */

static void parse(const char *text, struct control_line *line, const char **error_r)
{
	static char buf[CONTROL_LINE_MAX + 1];

	*error_r = NULL;
	snprintf(buf, sizeof(buf), "%s", text);
	if (control_line_parse(buf, strlen(text), line, error_r) == 0)
		assert_null(*error_r);
	else
		assert_non_null(*error_r);
}

static void test_a_line_is_words_and_options(void **state)
{
	struct control_line line;
	const char *error;

	(void)state;
	parse(" show\tservers  --json --now\r", &line, &error);
	assert_null(error);
	assert_int_equal(line.nwords, 2);
	assert_string_equal(line.words[0], "show");
	assert_string_equal(line.words[1], "servers");
	assert_int_equal(line.noptions, 1);
	assert_string_equal(line.options[0], "--now");
	assert_true(line.json);
	parse("show servers --no-header --color --width=80", &line, &error);
	assert_null(error);
	assert_int_equal(line.noptions, 0);
	assert_true(line.style.no_header && line.style.color && !line.json);
	assert_int_equal(line.style.width, 80);
}

static void test_what_nobody_types_is_refused(void **state)
{
	static const char *const lines[] = { "", "   ", "--json", "st\aatus", "status\x7f",
		"a b c d e f g h i j k l m n o p q",
		"x --1 --2 --3 --4 --5 --6 --7 --8 --9 --a --b --c --d --e --f --g --h",
		"status --width=", "status --width=19", "status --width=10001", "status --width=8o",
		"status --width=-1", "status --width=99999999999999999999" };
	char nul[] = "sta\0tus";
	struct control_line line;
	const char *error;

	(void)state;
	for (size_t i = 0; i < NELEMS(lines); i++) {
		parse(lines[i], &line, &error);
		assert_non_null(error);
		assert_int_equal(strncmp(error, "usage: ", 7), 0);
	}
	assert_int_equal(control_line_parse(nul, sizeof(nul) - 1, &line, &error), -1);
	parse("a b c d e f g h i j k l m n o p q --json", &line, &error);
	assert_true(line.json);
}

static void test_a_command_is_found_by_its_words(void **state)
{
	static const struct {
		const char *line;
		const char *verb; /* NULL: none */
	} cases[] = {
		{ "status", "status" },
		{ "show servers", "show servers" },
		{ "show servers more", "show servers" },
		{ "stop --now", "stop" },
		{ "show", NULL },
		{ "stat", NULL },
		{ "statuses", NULL },
		{ "servers show", NULL },
		{ "show server", NULL },
		{ "show serverss", NULL },
	};
	struct control_line line;
	const char *error;

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++) {
		const struct control_verb *verb;

		parse(cases[i].line, &line, &error);
		verb = control_verb_find(&line);
		if (cases[i].verb == NULL)
			assert_null(verb);
		else
			assert_string_equal(verb->words, cases[i].verb);
	}
}

/* ------------------------------------------------------------------ roles */

static unsigned stops;

static void count_stop(bool now, void *arg)
{
	(void)now;
	(void)arg;
	stops++;
}

static const char config[] = "global: {workers: 2}\n"
			     "frontends:\n"
			     "  front: {bind: [\"127.0.0.1:1\", \"127.0.0.1:2\"], backend: back}\n"
			     "backends:\n"
			     "  back: {servers: {a: 127.0.0.1:3, b/c: 127.0.0.1:4}}\n";

static struct conf *source_conf; /* of the one source that a test has */

static struct view_source source_new(void)
{
	struct conf_errors errors = { 0 };
	struct conf *conf = conf_load_text("test", config, strlen(config), NULL, &errors);
	struct view_source source = { .conf = conf };
	const char *error;

	assert_non_null(conf);
	source_conf = conf;
	source.shm = shm_create(64, &error);
	assert_non_null(source.shm);
	assert_int_equal(place_objects(conf, source.shm), 0);
	place_commit(conf, source.shm, 1);
	return source;
}

static void source_free(struct view_source *source)
{
	shm_free(source->shm);
	conf_free(source_conf);
	source->conf = source_conf = NULL;
}

/* What a command is answered with, in full; the caller frees it. */
static char *ask(const struct view_source *source, enum control_role role, const char *text)
{
	const struct control_peer peer = { .pid = 1, .uid = 2, .role = role };
	const struct control_actions actions = { .stop = count_stop };
	struct evbuffer *out = evbuffer_new();
	struct control_line line;
	struct control_request request = {
		.peer = &peer, .source = source, .actions = &actions, .line = &line, .out = out
	};
	const char *error;
	char *answer;

	parse(text, &line, &error);
	assert_null(error);
	assert_int_equal(control_verb_run(&request), 0);
	if (request.answer != NULL) {
		int more = 1;

		while (more == 1)
			more = answer_more(request.answer, out);
		assert_int_equal(more, 0);
		answer_free(request.answer);
	}
	evbuffer_add(out, "", 1);
	answer = strdup((const char *)evbuffer_pullup(out, -1));
	evbuffer_free(out);
	return answer;
}

static void assert_answer(const struct view_source *source, enum control_role role,
	const char *text, const char *start)
{
	char *answer = ask(source, role, text);

	if (strncmp(answer, start, strlen(start)) != 0)
		assert_string_equal(answer, start);
	free(answer);
}

static void test_each_role_may_what_it_may(void **state)
{
	struct view_source source = source_new();

	(void)state;
	stops = 0;
	assert_answer(&source, ROLE_STRANGER, "status", "error: refused: you are uid 2; ");
	assert_answer(&source, ROLE_STRANGER, "stop --json", "{\"error\":\"refused: ");
	assert_answer(&source, ROLE_STRANGER, "help", "error: refused: ");
	assert_answer(&source, ROLE_STRANGER, "nothing", "error: refused: ");
	assert_answer(&source, ROLE_READER, "status", "version");
	assert_answer(&source, ROLE_READER, "stop", "error: refused: ");
	assert_answer(&source, ROLE_READER, "nothing", "error: usage: ");
	assert_int_equal(stops, 0);
	assert_answer(&source, ROLE_OPERATOR, "stop --json", "{\"message\":\"stopping now\"}\n");
	assert_answer(&source, ROLE_OPERATOR, "stop --later", "error: usage: stop [--now]\n");
	assert_answer(&source, ROLE_OPERATOR, "stop it", "error: usage: stop [--now]\n");
	assert_answer(&source, ROLE_OPERATOR, "status --now", "error: usage: status\n");
	assert_int_equal(stops, 1);
	source_free(&source);
}

static void test_a_peer_is_known_by_the_kernel(void **state)
{
	struct control_peer peer;
	int fds[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(control_peer_read(fds[0], (gid_t)-1, &peer), 0);
	assert_int_equal(peer.pid, getpid());
	assert_int_equal(peer.uid, getuid());
	assert_int_equal(peer.role, ROLE_OPERATOR);
	close(fds[0]);
	close(fds[1]);
}

/* ------------------------------------------------------------------ the socket's file */

static void open_socket(const char *path, enum control_socket_result expected,
	struct control_socket *socket_r, const char *why_has)
{
	const struct control_socket_ask socket_ask = {
		.path = path, .mode = 0640, .group = (gid_t)-1
	};
	char why[128] = "";

	assert_int_equal(
		control_socket_open(&socket_ask, socket_r, why, sizeof(why)), (int)expected);
	if (strstr(why, why_has) == NULL)
		assert_string_equal(why, why_has);
}

/* Another daemon, which stops when *end_r is closed. */
static pid_t open_in_child(const char *path, int *end_r)
{
	struct control_socket control_socket;
	int fds[2];
	pid_t pid;
	char c;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(fds[0]);
		open_socket(path, CONTROL_SOCKET_OPEN, &control_socket, "");
		assert_int_equal(send(fds[1], "", 1, 0), 1);
		assert_int_equal(recv(fds[1], &c, 1, 0), 0);
		control_socket_close(&control_socket);
		_exit(0);
	}
	close(fds[1]);
	assert_int_equal(recv(fds[0], &c, 1, 0), 1);
	*end_r = fds[0];
	return pid;
}

static void test_a_live_socket_is_respected_and_a_dead_one_replaced(void **state)
{
	char directory[] = "/tmp/control_test.XXXXXX";
	struct control_socket first, second;
	char path[64], pid[16];
	struct stat st;
	FILE *file;
	int end, status;
	pid_t other;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/run/control.sock", directory);
	snprintf(pid, sizeof(pid), "pid %d ", (int)getpid());
	open_socket(path, CONTROL_SOCKET_OPEN, &first, "");
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	open_socket(path, CONTROL_SOCKET_TAKEN, &second, pid);
	assert_int_equal(access(path, F_OK), 0);
	/* As after SIGKILL: the file stays, nobody listens. */
	close(first.fd);
	first.fd = -1;
	other = open_in_child(path, &end);
	/* By now it is another's. */
	control_socket_close(&first);
	assert_int_equal(access(path, F_OK), 0);
	close(end);
	assert_int_equal(waitpid(other, &status, 0), other);
	assert_int_equal(status, 0);
	assert_int_equal(access(path, F_OK), -1);
	control_socket_close(&first);

	file = fopen(path, "w");
	assert_non_null(file);
	fclose(file);
	open_socket(path, CONTROL_SOCKET_FAILED, &second, "no socket");
	assert_int_equal(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/run", directory);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(directory), 0);
}

static void test_a_directory_in_tmp_has_to_be_ours(void **state)
{
	struct rundir_path path = { .in_tmp = true };
	char directory[] = "/tmp/control_test.XXXXXX";
	char link[64];
	const char *error;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(directory));
	snprintf(path.text, sizeof(path.text), "%s/control.sock", directory);
	assert_true(rundir_is_private(&path));
	fd = rundir_open(&path, (gid_t)-1, &error);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(chmod(directory, 0755), 0);
	assert_false(rundir_is_private(&path));
	assert_int_equal(rundir_open(&path, (gid_t)-1, &error), -1);
	assert_int_equal(chmod(directory, 0700), 0);
	snprintf(link, sizeof(link), "%s.link", directory);
	assert_int_equal(symlink(directory, link), 0);
	snprintf(path.text, sizeof(path.text), "%s/control.sock", link);
	assert_false(rundir_is_private(&path));
	assert_int_equal(rundir_open(&path, (gid_t)-1, &error), -1);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(rmdir(directory), 0);
}

/* ------------------------------------------------------------------ views */

static void test_counts_are_sums_and_outlive_their_worker(void **state)
{
	struct view_source source = source_new();
	char *answer;

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		struct shm_slot *slot = shm_slot(source.shm, i);

		shm_slot_use(source.shm, i);
		slot->state = SLOT_SERVING;
		slot->heartbeat_ms = clock_now_ms();
		slot->pid = 100 + i;
		slot->generation = 1;
		slot->accepted = 5;
		slot->active = 1;
		slot->frontends[0].total = 5;
		slot->frontends[0].active = 1;
		slot->frontends[0].bytes_in = UINT64_C(1) << 60;
		slot->servers[1].total = 4;
	}
	shm_slot_reap(source.shm, 1);
	answer = ask(&source, ROLE_READER, "show frontends --json");
	assert_string_equal(answer,
		"[{\"name\":\"front\",\"bind\":[\"127.0.0.1:1\",\"127.0.0.1:2\"],\"active\":1,"
		"\"total\":10,\"refused\":0,\"failed\":0,\"bytes_in\":2305843009213693952,"
		"\"bytes_out\":0}]\n");
	free(answer);
	answer = ask(&source, ROLE_READER, "show servers --json");
	assert_non_null(strstr(answer,
		"\"server\":\"b/c\",\"address\":\"127.0.0.1:4\","
		"\"state\":\"nocheck\",\"admin\":\"ready\",\"check\":null,"
		"\"active\":0,\"total\":8,"));
	free(answer);
	answer = ask(&source, ROLE_READER, "show workers --json");
	assert_string_equal(answer,
		"[{\"slot\":0,\"pid\":100,\"generation\":1,\"state\":\"serving\",\"active\":1,"
		"\"accepted\":5,\"restarts\":0}]\n");
	free(answer);
	shm_slot(source.shm, 0)->heartbeat_ms = 1;
	answer = ask(&source, ROLE_READER, "show workers --json");
	assert_non_null(strstr(answer, "\"state\":\"hung\""));
	free(answer);
	source_free(&source);
}

/* With the checker's pages as they are before it has said anything. */
static void test_a_server_without_an_address_is_down_from_the_beginning(void **state)
{
	struct view_source source = source_new();
	char *answer;

	(void)state;
	shm_master(source.shm)->admin[1].flags |= SHM_SERVER_NO_ADDRESS;
	answer = ask(&source, ROLE_READER, "show servers --json");
	assert_non_null(strstr(answer, "\"address\":\"127.0.0.1:3\",\"state\":\"nocheck\""));
	assert_non_null(strstr(answer, "\"address\":\"127.0.0.1:4\",\"state\":\"down\""));
	free(answer);
	answer = ask(&source, ROLE_READER, "show backends --json");
	assert_non_null(strstr(answer, "\"state\":\"up\""));
	assert_non_null(strstr(answer, "\"servers\":2,\"serving\":1,"));
	free(answer);
	source_free(&source);
}

static void fill_record(struct shm *shm, uint32_t index)
{
	static const uint8_t host[] = { 192, 0, 2, 1 };
	struct relay_record *record = shm_record(shm, 0, index);

	*record = (struct relay_record){
		.id = 7 + index,
		.state = RELAY_RELAYING,
		.client_family = AF_INET,
		.client_port = 999,
		.server = 1,
		.generation = 1,
		.accepted_ms = clock_now_ms(),
		.moved_ms = clock_now_ms(),
		.bytes_in = 1,
	};
	memcpy(record->client_addr, host, sizeof(host));
}

static void test_what_a_worker_wrote_is_not_believed(void **state)
{
	struct view_source source = source_new();
	struct relay_record *record;
	char *answer;

	(void)state;
	shm_slot_use(source.shm, 0);
	shm_slot(source.shm, 0)->state = 77;
	shm_slot(source.shm, 0)->records = UINT32_MAX;
	fill_record(source.shm, 0);
	answer = ask(&source, ROLE_READER, "show sessions --json");
	assert_non_null(strstr(answer,
		"\"frontend\":\"front\",\"client\":\"192.0.2.1:999\",\"backend\":\"back\","
		"\"server\":\"b/c\",\"state\":\"relaying\""));
	free(answer);

	record = shm_record(source.shm, 0, 63);
	memset(record, 0xff, sizeof(*record));
	record->flags &= (uint8_t)~RECORD_LET_GO; /* such a one is shown elsewhere */
	answer = ask(&source, ROLE_READER, "show sessions --json");
	assert_non_null(strstr(answer,
		"\"frontend\":null,\"client\":null,\"backend\":null,\"server\":null,\"state\":null,"
		"\"age_ms\":0,\"idle_ms\":0,\"bytes_in\":18446744073709551615"));
	free(answer);
	answer = ask(&source, ROLE_READER, "show sessions");
	assert_non_null(strstr(answer, "192.0.2.1:999"));
	free(answer);
	source_free(&source);
}

/* ------------------------------------------------------------------ print */

static void test_units_are_for_people(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} sizes[] = { { 0, "0" }, { 1023, "1023" }, { 1024, "1.0k" }, { 1536, "1.5k" },
		{ 10 * 1024, "10k" }, { 1048575, "1.0M" }, { 5 << 20, "5.0M" },
		{ UINT64_MAX, "16E" } };
	static const struct {
		uint64_t ms;
		const char *text;
	} spans[] = { { 0, "0ms" }, { 999, "999ms" }, { 1999, "1s" }, { 185000, "3m05s" },
		{ 7980000, "2h13m" }, { 371000000, "4d07h" } };
	char buf[VIEW_UNIT_MAX];

	(void)state;
	for (size_t i = 0; i < NELEMS(sizes); i++)
		assert_string_equal(view_format_bytes(sizes[i].bytes, buf), sizes[i].text);
	for (size_t i = 0; i < NELEMS(spans); i++)
		assert_string_equal(view_format_ms(spans[i].ms, buf), spans[i].text);
}

static const struct view_column test_columns[] = {
	{ "name", "NAME", VIEW_TEXT },
	{ "n", "N", VIEW_COUNT },
	{ "size", "SIZE", VIEW_BYTES },
	{ "o.note", "NOTE", VIEW_TEXT },
};

static enum view_step test_next(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r)
{
	(void)source;
	if (cursor->outer == 3)
		return VIEW_END;
	if (cursor->inner++ % 2 == 0)
		return VIEW_PAUSE;
	cursor->outer++;
	view_text(row_r, cursor->outer == 2 ? "gr\xc3\xbc\xc3\x9f" : "x");
	view_number(row_r, cursor->outer * 100);
	view_number(row_r, cursor->outer * 1024);
	view_text(row_r, cursor->outer == 1 ? "a\033[2J\"" : NULL);
	return VIEW_ROW;
}

static const struct view test_view = {
	.columns = test_columns, .ncolumns = NELEMS(test_columns), .next = test_next
};

static void assert_view(
	const struct view *view, const struct table_style *style, const char *expected)
{
	struct answer *answer = answer_new(view, NULL, style);
	struct evbuffer *out = evbuffer_new();

	while (answer_more(answer, out) > 0)
		continue;
	evbuffer_add(out, "", 1);
	assert_string_equal((const char *)evbuffer_pullup(out, -1), expected);
	evbuffer_free(out);
	answer_free(answer);
}

static void test_a_table_is_aligned_and_harmless(void **state)
{
	static const struct table_style plain;

	(void)state;
	assert_view(&test_view, &plain,
		"NAME    N  SIZE  NOTE\n"
		"x     100  1.0k  a?[2J\"\n"
		"gr\xc3\xbc\xc3\x9f  200  2.0k  -\n"
		"x     300  3.0k  -\n");
	assert_view(&test_view, NULL,
		"[{\"name\":\"x\",\"n\":100,\"size\":1024,\"o\":{\"note\":"
		"\"a\\u001b[2J\\\"\"}},\n"
		"{\"name\":\"gr\xc3\xbc\xc3\x9f\",\"n\":200,\"size\":2048,\"o\":{\"note\":null}},\n"
		"{\"name\":\"x\",\"n\":300,\"size\":3072,\"o\":{\"note\":null}}]\n");
}

/* ------------------------------------------------------------------ layout */

static const struct view_column wide_columns[] = {
	{ "name", "NAME", VIEW_TEXT },
	{ "state", "STATE", VIEW_TEXT },
	{ "n", "N", VIEW_COUNT },
	{ "hidden", NULL, VIEW_COUNT },
	{ "note", "NOTE", VIEW_TEXT },
	{ "last", "LAST", VIEW_COUNT },
};

static enum view_step wide_next(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r)
{
	(void)source;
	if (cursor->outer++ == 2)
		return VIEW_END;
	view_text(row_r, cursor->outer == 1 ? "abcdefghij" : "\xc3\xa4\xc3\xb6\xc3\xbc");
	view_text(row_r, cursor->outer == 1 ? "up" : "down");
	view_number(row_r, cursor->outer * 1000);
	view_number(row_r, 7);
	view_text(row_r, "a note that is thirty long, yes");
	view_number(row_r, 5);
	return VIEW_ROW;
}

static const struct view wide_view = {
	.columns = wide_columns,
	.ncolumns = NELEMS(wide_columns),
	.spare = "n last note",
	.next = wide_next,
};

static void test_a_narrow_terminal_is_never_wrapped(void **state)
{
	static const struct {
		struct table_style style;
		const char *text;
	} cases[] = {
		{ { .width = 64 },
			"NAME        STATE     N  NOTE                             LAST\n"
			"abcdefghij  up     1000  a note that is thirty long, yes     5\n"
			"\xc3\xa4\xc3\xb6\xc3\xbc         down   2000  a note that is thirty long, yes     5\n" },
		{ { .width = 50 },
			"NAME        STATE     N  NOTE                 LAST\n"
			"abcdefghij  up     1000  a note that is thi+     5\n"
			"\xc3\xa4\xc3\xb6\xc3\xbc         down   2000  a note that is thi+     5\n" },
		{ { .width = 46 },
			"NAME        STATE  NOTE                   LAST\n"
			"abcdefghij  up     a note that is thirt+     5\n"
			"\xc3\xa4\xc3\xb6\xc3\xbc         down   a note that is thirt+     5\n" },
		{ { .width = 20, .no_header = true },
			"abcdefghij  up\n"
			"\xc3\xa4\xc3\xb6\xc3\xbc         down\n" },
		{ { .width = 20, .color = true },
			"\033[1mNAME        STATE\033[0m\n"
			"abcdefghij  \033[32mup\033[0m\n"
			"\xc3\xa4\xc3\xb6\xc3\xbc         \033[31mdown\033[0m\n" },
	};

	(void)state;
	for (size_t i = 0; i < NELEMS(cases); i++)
		assert_view(&wide_view, &cases[i].style, cases[i].text);
}

/* What comes after the first portion may be wider than its column. */
static enum view_step growing_next(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r)
{
	(void)source;
	if (cursor->outer++ == 300)
		return VIEW_END;
	view_text(row_r, cursor->outer < 300 ? "x" : "yyyyyyyy");
	view_number(row_r, cursor->outer < 300 ? 1 : 123456);
	return VIEW_ROW;
}

static void test_what_grows_later_is_cut(void **state)
{
	static const struct view_column columns[] = { { "name", "NAME", VIEW_TEXT },
		{ "n", "N", VIEW_COUNT } };
	static const struct view view = {
		.columns = columns, .ncolumns = NELEMS(columns), .next = growing_next
	};
	static const struct table_style style = { .width = 40 };
	struct answer *answer = answer_new(&view, NULL, &style);
	struct evbuffer *out = evbuffer_new();
	const char *text;

	(void)state;
	while (answer_more(answer, out) > 0)
		continue;
	evbuffer_add(out, "", 1);
	text = (const char *)evbuffer_pullup(out, -1);
	assert_non_null(strstr(text, "x     1\nyyy+  #\n"));
	evbuffer_free(out);
	answer_free(answer);
}

static enum view_step one_next(
	const struct view_source *source, struct view_cursor *cursor, struct view_row *row_r)
{
	return cursor->outer == 0 ? wide_next(source, cursor, row_r) : VIEW_END;
}

static void test_one_row_has_a_line_for_each_column(void **state)
{
	static const struct view single = { .columns = wide_columns,
		.ncolumns = NELEMS(wide_columns),
		.single = true,
		.next = one_next };
	static const struct table_style narrow = { .width = 20, .color = true };
	static const struct table_style values = { .no_header = true };
	struct answer *answer;
	struct evbuffer *out = evbuffer_new();

	(void)state;
	answer = answer_new(&single, NULL, &narrow);
	assert_int_equal(answer_more(answer, out), 0);
	evbuffer_add(out, "", 1);
	assert_ptr_equal(strstr((const char *)evbuffer_pullup(out, -1),
				 "\033[1mNAME   \033[0mabcdefghij\n"
				 "\033[1mSTATE  \033[0m\033[32mup\033[0m\n"
				 "\033[1mN      \033[0m1000\n"
				 "\033[1mNOTE   \033[0ma note that +\n"
				 "\033[1mLAST   \033[0m5\n"),
		evbuffer_pullup(out, -1));
	answer_free(answer);
	evbuffer_drain(out, evbuffer_get_length(out));
	answer = answer_new(&single, NULL, &values);
	assert_int_equal(answer_more(answer, out), 0);
	evbuffer_add(out, "", 1);
	assert_ptr_equal(strstr((const char *)evbuffer_pullup(out, -1), "abcdefghij\nup\n1000\n"),
		evbuffer_pullup(out, -1));
	answer_free(answer);
	evbuffer_free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_line_is_words_and_options),
		cmocka_unit_test(test_what_nobody_types_is_refused),
		cmocka_unit_test(test_a_command_is_found_by_its_words),
		cmocka_unit_test(test_each_role_may_what_it_may),
		cmocka_unit_test(test_a_peer_is_known_by_the_kernel),
		cmocka_unit_test(test_a_live_socket_is_respected_and_a_dead_one_replaced),
		cmocka_unit_test(test_a_directory_in_tmp_has_to_be_ours),
		cmocka_unit_test(test_counts_are_sums_and_outlive_their_worker),
		cmocka_unit_test(test_a_server_without_an_address_is_down_from_the_beginning),
		cmocka_unit_test(test_what_a_worker_wrote_is_not_believed),
		cmocka_unit_test(test_units_are_for_people),
		cmocka_unit_test(test_a_table_is_aligned_and_harmless),
		cmocka_unit_test(test_a_narrow_terminal_is_never_wrapped),
		cmocka_unit_test(test_what_grows_later_is_cut),
		cmocka_unit_test(test_one_row_has_a_line_for_each_column),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The kernel limits the memory of all pipes of a user (pipe-user-pages-soft): beyond it pipes stay small,
 * and a small one is dearer than copying. When that is seen, no more are made for a second.
 */
#include "worker/relay/pipes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/must.h"

#define PIPE_WANTED_BYTES (1U << 20)
#define PIPE_LEAST_BYTES  (256U << 10)
#define PIPES_REST_MS     1000

struct pipes {
	unsigned most;
	unsigned made;
	uint64_t rest_until_ms;
	struct pipe *unused;  /* no pipe behind them */
	struct pipe *waiting; /* empty and open */
	struct pipe all[];
};

struct pipes *pipes_new(unsigned most)
{
	struct pipes *pipes = calloc(1, sizeof(*pipes) + most * sizeof(pipes->all[0]));

	if (pipes == NULL) {
		perror("proxyd: pipes");
		exit(1);
	}
	pipes->most = most;
	for (unsigned i = 0; i < most; i++) {
		pipes->all[i].next = pipes->unused;
		pipes->unused = &pipes->all[i];
	}
	return pipes;
}

static void pipe_close(struct pipes *pipes, struct pipe *pipe)
{
	close(pipe->read_fd);
	close(pipe->write_fd);
	pipe->bytes = 0;
	pipe->next = pipes->unused;
	pipes->unused = pipe;
	pipes->made--;
}

void pipes_free(struct pipes *pipes)
{
	struct pipe *pipe;

	if (pipes == NULL)
		return;
	while ((pipe = pipes->waiting) != NULL) {
		pipes->waiting = pipe->next;
		pipe_close(pipes, pipe);
	}
	free(pipes);
}

static struct pipe *pipe_make(struct pipes *pipes)
{
	struct pipe *pipe = pipes->unused;
	int fds[2];
	int size;

	if (pipe == NULL || clock_coarse_ms() < pipes->rest_until_ms)
		return NULL;
	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0) {
		pipes->rest_until_ms = clock_coarse_ms() + PIPES_REST_MS;
		return NULL;
	}
	size = fcntl(fds[1], F_SETPIPE_SZ, PIPE_WANTED_BYTES);
	if (size < 0)
		size = fcntl(fds[1], F_SETPIPE_SZ, PIPE_LEAST_BYTES);
	if (size < (int)PIPE_LEAST_BYTES) {
		close(fds[0]);
		close(fds[1]);
		pipes->rest_until_ms = clock_coarse_ms() + PIPES_REST_MS;
		return NULL;
	}
	pipes->unused = pipe->next;
	pipes->made++;
	pipe->read_fd = fds[0];
	pipe->write_fd = fds[1];
	pipe->size = (uint32_t)size;
	pipe->bytes = 0;
	return pipe;
}

struct pipe *pipes_take(struct pipes *pipes)
{
	struct pipe *pipe = pipes->waiting;

	if (pipe == NULL)
		return pipe_make(pipes);
	pipes->waiting = pipe->next;
	return pipe;
}

void pipes_give(struct pipes *pipes, struct pipe *pipe)
{
	if (pipe->bytes > 0) {
		pipe_close(pipes, pipe);
		return;
	}
	pipe->next = pipes->waiting;
	pipes->waiting = pipe;
}

/* The kernel limits the memory of all pipes of a user (pipe-user-pages-soft): beyond it pipes stay small,
 * and a small one is dearer than copying. When that is seen, no more are made for a second.
 */
#include "worker/relay/pipes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/memory.h"

#define PIPE_WANTED_BYTES (1U << 20)
#define PIPE_LEAST_BYTES  (256U << 10)
#define PIPES_REST_MS     1000

/* Beyond our own: adopted ones come with bytes that nobody else has, and are closed once empty. */
#define PIPES_ADOPTED_MOST 8192

struct pipes {
	unsigned most;
	unsigned used; /* from there on `all` was never touched; past most: adopted ones */
	uint64_t rest_until_ms;
	struct pipe *unused;         /* no pipe behind them */
	struct pipe *unused_adopted; /* the same, numbers from most on */
	struct pipe *waiting;        /* empty and open */
	pipe_deposit_fn *deposit;    /* NULL: there is no keeper */
	void *deposit_arg;
	struct pipe all[];
};

struct pipes *pipes_new(unsigned most)
{
	struct pipes *pipes = memory_or_exit(
		calloc(1, sizeof(*pipes) + (most + PIPES_ADOPTED_MOST) * sizeof(pipes->all[0])),
		"no memory for pipes");

	pipes->most = pipes->used = most;
	for (unsigned i = most; i-- > 0;) {
		pipes->all[i].number = (uint16_t)i;
		pipes->all[i].read_fd = pipes->all[i].write_fd = -1;
		pipes->all[i].next = pipes->unused;
		pipes->unused = &pipes->all[i];
	}
	return pipes;
}

static void pipe_close(struct pipes *pipes, struct pipe *pipe)
{
	struct pipe **list = pipe->number < pipes->most ? &pipes->unused : &pipes->unused_adopted;

	close(pipe->read_fd);
	close(pipe->write_fd);
	pipe->read_fd = pipe->write_fd = -1;
	pipe->bytes = 0;
	pipe->kept = false;
	pipe->next = *list;
	*list = pipe;
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

/* ------------------------------------------------------------------ the keeper's copies */

static bool pipe_keep(struct pipes *pipes, struct pipe *pipe)
{
	if (!pipe->kept && pipes->deposit != NULL)
		pipe->kept = pipes->deposit(pipes->deposit_arg, pipe);
	return pipe->kept || pipes->deposit == NULL;
}

void pipes_keep(struct pipes *pipes, pipe_deposit_fn *deposit, void *arg)
{
	pipes->deposit = deposit;
	pipes->deposit_arg = arg;
	for (unsigned i = 0; i < pipes->used; i++)
		pipes->all[i].kept = false;
}

bool pipes_deposit(struct pipes *pipes)
{
	for (unsigned i = 0; i < pipes->used; i++) {
		if (pipes->all[i].read_fd >= 0 && !pipe_keep(pipes, &pipes->all[i]))
			return false;
	}
	return true;
}

/* ------------------------------------------------------------------ life of a pipe */

static struct pipe *pipe_open(struct pipes *pipes)
{
	struct pipe *pipe = pipes->unused;
	int fds[2];
	int size;

	if (pipe == NULL || pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
		return NULL;
	size = fcntl(fds[1], F_SETPIPE_SZ, PIPE_WANTED_BYTES);
	if (size < 0)
		size = fcntl(fds[1], F_SETPIPE_SZ, PIPE_LEAST_BYTES);
	if (size < (int)PIPE_LEAST_BYTES) {
		close(fds[0]);
		close(fds[1]);
		return NULL;
	}
	pipes->unused = pipe->next;
	pipe->read_fd = fds[0];
	pipe->write_fd = fds[1];
	pipe->size = (uint32_t)size;
	pipe->bytes = 0;
	return pipe;
}

static struct pipe *pipe_make(struct pipes *pipes)
{
	struct pipe *pipe;

	if (clock_coarse_ms() < pipes->rest_until_ms)
		return NULL;
	pipe = pipe_open(pipes);
	if (pipe != NULL && pipe_keep(pipes, pipe))
		return pipe;
	if (pipe != NULL)
		pipe_close(pipes, pipe);
	else if (pipes->unused != NULL)
		pipes->rest_until_ms = clock_coarse_ms() + PIPES_REST_MS;
	return NULL;
}

bool pipes_ready(struct pipes *pipes)
{
	struct pipe *pipe = pipes->waiting;

	if (pipe == NULL) {
		pipe = pipe_make(pipes);
		if (pipe == NULL)
			return false;
		pipe->next = NULL;
		pipes->waiting = pipe;
	}
	return pipe->kept || pipe_keep(pipes, pipe);
}

struct pipe *pipes_take(struct pipes *pipes)
{
	struct pipe *pipe = pipes->waiting;

	if (pipe == NULL)
		return pipe_make(pipes);
	if (!pipe_keep(pipes, pipe))
		return NULL;
	pipes->waiting = pipe->next;
	return pipe;
}

static struct pipe *pipe_number(struct pipes *pipes)
{
	struct pipe *pipe = pipes->unused_adopted;

	if (pipe != NULL) {
		pipes->unused_adopted = pipe->next;
		return pipe;
	}
	if (pipes->used == pipes->most + PIPES_ADOPTED_MOST)
		return NULL;
	pipe = &pipes->all[pipes->used];
	pipe->number = (uint16_t)pipes->used++;
	return pipe;
}

struct pipe *pipes_adopt(struct pipes *pipes, int read_fd, int write_fd, uint32_t bytes)
{
	struct pipe *pipe = pipe_number(pipes);
	int size;

	if (pipe == NULL)
		return NULL;
	size = fcntl(write_fd, F_GETPIPE_SZ);
	pipe->read_fd = read_fd;
	pipe->write_fd = write_fd;
	pipe->bytes = bytes;
	pipe->size = size > 0 ? (uint32_t)size : PIPE_LEAST_BYTES;
	(void)pipe_keep(pipes, pipe); /* else pipes_deposit does it later */
	return pipe;
}

/* The keeper's copy is the same pipe: so it is emptied, not left. */
static void pipe_empty(struct pipe *pipe)
{
	static char waste[65536];

	while (read(pipe->read_fd, waste, sizeof(waste)) > 0)
		continue;
	pipe->bytes = 0;
}

void pipes_give(struct pipes *pipes, struct pipe *pipe)
{
	if (pipe->bytes > 0)
		pipe_empty(pipe);
	if (pipe->number >= pipes->most) {
		pipe_close(pipes, pipe);
		return;
	}
	pipe->next = pipes->waiting;
	pipes->waiting = pipe;
}

void pipes_leave(struct pipes *pipes, struct pipe *pipe)
{
	pipe_close(pipes, pipe);
}

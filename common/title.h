/* What ps shows of a process: `proxyd: worker 2`, and `proxyd-worker-2` as its comm. */
#ifndef PROXYD_COMMON_TITLE_H
#define PROXYD_COMMON_TITLE_H

/* Once, at the start of main, before anything keeps pointers into argv or the environment. argv's
 * strings are replaced by copies, so what points into them later stays valid. */
void title_init(int argc, char *argv[], char *envp[]);

/* role: "master", "worker 2", "checker". comm has 15 bytes at most, so "worker 12" is cut there. Again
 * after each fork. */
void title_set(const char *role);

#endif

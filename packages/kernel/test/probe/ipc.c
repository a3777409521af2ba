#define _GNU_SOURCE
#include "probe.h"

#include <fcntl.h>
#include <mqueue.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

void check_ipc(void)
{
    int shm = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    check("ipc.shmget", shm >= 0, NULL);
    void *memory = shmat(shm, NULL, 0);
    check("ipc.shmat", memory != (void *)-1, NULL);
    check("ipc.semget", semget(IPC_PRIVATE, 1, IPC_CREAT | 0600) >= 0, NULL);
    check("ipc.msgget", msgget(IPC_PRIVATE, IPC_CREAT | 0600) >= 0, NULL);

    struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 16};
    char answer[16] = "";
    mqd_t queue = mq_open("/probe", O_RDWR | O_CREAT, 0600, &attributes);
    bool carried = queue >= 0 && mq_send(queue, "hello", 6, 0) == 0 &&
                   mq_receive(queue, answer, sizeof answer, NULL) == 6 && strcmp(answer, "hello") == 0;
    check("ipc.mqueue", carried, NULL);
}

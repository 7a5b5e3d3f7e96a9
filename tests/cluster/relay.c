/* A network switch that passes each Ethernet frame on after a fixed time, in the order they came.
 *
 * Use: relay MICROSECONDS NAMESPACE...
 *
 * Each network namespace gets a TAP device, eth0, whose MAC address ends with the number of its
 * port, from 1. An empty line says that all are there. The end of standard input ends the relay,
 * and its devices with it, so that it does not outlive the process that started it.
 *
 * As on a virtual machine's network, a frame may be a TCP segment of up to 64 kB with no checksum,
 * which the virtio header before it says, so that few frames are copied.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { PORTS = 64, QUEUE = 4096, MULTICAST = 1 };

struct frame {
    int64_t due; /* nanoseconds */
    ssize_t length;
    int port; /* where it came in */
    struct {
        struct virtio_net_hdr header;
        struct ethhdr ethernet;
        uint8_t payload[1 << 16];
    } __attribute__((packed)) content;
};

static struct frame queue[QUEUE]; /* a ring */
static struct pollfd ports[1 + PORTS]; /* standard input, then the TAP devices */
static int count; /* of TAP devices */

static void require(int works, const char *what) {
    if (works) return;
    perror(what);
    exit(1);
}

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* Makes the device of a port in the network namespace where this process is. */
static int make_tap(int port) {
    struct ifreq request = {.ifr_name = "eth0"};
    int tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    require(tap >= 0, "/dev/net/tun");
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    require(!ioctl(tap, TUNSETIFF, &request), "TUNSETIFF");
    require(!ioctl(tap, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6), "TUNSETOFFLOAD");
    request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(request.ifr_hwaddr.sa_data, (uint8_t[ETH_ALEN]){2, 0, 0, 0, 0, port}, ETH_ALEN);
    require(!ioctl(tap, SIOCSIFHWADDR, &request), "SIOCSIFHWADDR");
    return tap;
}

/* Makes the devices, and returns to the network namespace where this process began. */
static void make_taps(char **namespaces) {
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    for (; namespaces[count]; count++) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "/run/netns/%s", namespaces[count]);
        int namespace = open(path, O_RDONLY | O_CLOEXEC);
        require(count < PORTS && !setns(namespace, CLONE_NEWNET), path);
        close(namespace);
        ports[1 + count] = (struct pollfd){.fd = make_tap(1 + count), .events = POLLIN};
    }
    require(!setns(home, CLONE_NEWNET), "setns");
    close(home);
}

/* Sends a frame to the port that its address ends with, or to all others. What no device takes is
 * lost, as on any network. */
static void forward(const struct frame *frame) {
    const uint8_t *address = frame->content.ethernet.h_dest;
    for (int port = 1; port <= count; port++)
        if (address[0] & MULTICAST ? port != frame->port : port == address[ETH_ALEN - 1])
            if (write(ports[port].fd, &frame->content, frame->length) < 0) continue;
}

int main(int arguments, char **argument) {
    if (arguments < 3) return 2;
    const int64_t delay = 1000 * atoll(argument[1]);
    int first = 0, waiting = 0; /* in the queue */
    make_taps(argument + 2);
    ports[0] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
    prctl(PR_SET_TIMERSLACK, 1); /* nanosecond, instead of 50,000 */
    sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){.sched_priority = 1}); /* if it may */
    puts("");
    fflush(stdout);
    for (;;) {
        int64_t rest = 0;
        while (waiting && (rest = queue[first].due - now()) <= 0) {
            forward(&queue[first]);
            first = (first + 1) % QUEUE;
            waiting--;
        }
        const struct timespec timeout = {rest / 1000000000, rest % 1000000000};
        const int room = waiting + count <= QUEUE, watched = room ? 1 + count : 1;
        require(ppoll(ports, watched, waiting ? &timeout : NULL, NULL) >= 0, "ppoll");
        if (ports[0].revents) return 0;
        for (int port = 1; port < watched; port++) {
            if (!ports[port].revents) continue;
            struct frame *last = &queue[(first + waiting) % QUEUE];
            last->length = read(ports[port].fd, &last->content, sizeof last->content);
            require(last->length >= 0 || errno == EAGAIN, "read");
            if (last->length < 0) continue;
            last->due = now() + delay;
            last->port = port;
            waiting++;
        }
    }
}

/*
 * A Modbus server on libmodbus: the other end of the wire in tests is not our own code.
 *
 *   libmodbus_server tcp UNIT [IMAGE]   listens on a free loopback port, prints it
 *   libmodbus_server rtu UNIT [IMAGE]   makes a pseudo terminal, prints its path
 *
 * IMAGE has lines "FUNCTION ADDRESS WORD WORD ..." (decimal, decimal, hexadecimal; of a coil or a
 * discrete input 0 or 1); what it does not list is refused as an illegal address. Without an image
 * every register answers (unit * 7919 + function * 4099 + address * 31 + 17) mod 65536, and every bit
 * the lowest bit of that. Single coils and registers that are listed can be written, and stay so.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <modbus/modbus.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define REGISTERS 65536

#define FUNCTIONS 5

static uint16_t image[FUNCTIONS][REGISTERS];
static unsigned char listed[FUNCTIONS][REGISTERS];
static int has_image;

static void fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, modbus_strerror(errno));
    exit(1);
}

static void load_image(const char *path)
{
    FILE *file = fopen(path, "r");
    char line[4096];

    if (file == NULL)
        fail(path);
    has_image = 1;
    while (fgets(line, sizeof line, file) != NULL) {
        char *rest = line;
        long function = strtol(rest, &rest, 10);
        long address = strtol(rest, &rest, 10);
        char *next;

        for (;;) {
            unsigned long word = strtoul(rest, &next, 16);
            if (next == rest)
                break;
            image[function][address] = (uint16_t) word;
            listed[function][address] = 1;
            address++;
            rest = next;
        }
    }
    fclose(file);
}

static void answer(modbus_t *context, modbus_mapping_t *map, const uint8_t *query, int length)
{
    const uint8_t *pdu = query + modbus_get_header_length(context);
    int unit = pdu[-1];
    int function = pdu[0];
    int first = (pdu[1] << 8) | pdu[2];
    int count = (pdu[3] << 8) | pdu[4];

    int kind = function == 5 ? 1 : 3;

    if (function == 5 || function == 6) {
        if (has_image && !listed[kind][first]) {
            modbus_reply_exception(context, query, MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS);
            return;
        }
        /* What is written is kept: a coil is 0xFF00 or 0. */
        image[kind][first] = function == 5 ? count != 0 : count;
    }
    for (int i = first; function < FUNCTIONS && i < first + count && i < REGISTERS; i++) {
        uint16_t word = has_image
            ? image[function][i]
            : (uint16_t) (unit * 7919 + function * 4099 + i * 31 + 17);

        if (has_image && !listed[function][i]) {
            modbus_reply_exception(context, query, MODBUS_EXCEPTION_ILLEGAL_DATA_ADDRESS);
            return;
        }
        if (function == 1)
            map->tab_bits[i] = word & 1;
        else if (function == 2)
            map->tab_input_bits[i] = word & 1;
        else if (function == 3)
            map->tab_registers[i] = word;
        else
            map->tab_input_registers[i] = word;
    }
    modbus_reply(context, query, length, map);
}

/* Serve until the peer is gone. */
static void serve(modbus_t *context, modbus_mapping_t *map)
{
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];

    for (;;) {
        int length = modbus_receive(context, query);

        if (length > 0)
            answer(context, map, query, length);
        else if (length < 0 && errno != EMBBADCRC && errno != ETIMEDOUT)
            return;
    }
}

static void serve_tcp(modbus_mapping_t *map)
{
    modbus_t *context = modbus_new_tcp("127.0.0.1", 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    int listening = socket(AF_INET, SOCK_STREAM, 0);

    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    if (listening < 0 || bind(listening, (struct sockaddr *) &address, size) < 0
        || listen(listening, 8) < 0 || getsockname(listening, (struct sockaddr *) &address, &size) < 0)
        fail("listen");
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    for (;;) {
        if (modbus_tcp_accept(context, &listening) < 0)
            fail("accept");
        serve(context, map);
        modbus_close(context);
    }
}

static void serve_rtu(modbus_mapping_t *map, int unit)
{
    modbus_t *context = modbus_new_rtu("/dev/null", 115200, 'N', 8, 1);
    int ours = posix_openpt(O_RDWR | O_NOCTTY);
    int kept;
    struct termios raw;

    if (ours < 0 || grantpt(ours) < 0 || unlockpt(ours) < 0)
        fail("pty");
    /* With the other end never quite closed, a client may come and go. */
    kept = open(ptsname(ours), O_RDWR | O_NOCTTY);
    if (kept < 0 || tcgetattr(kept, &raw) < 0)
        fail("pty");
    cfmakeraw(&raw);
    tcsetattr(kept, TCSANOW, &raw);
    printf("%s\n", ptsname(ours));
    fflush(stdout);
    modbus_set_socket(context, ours);
    modbus_set_slave(context, unit);
    serve(context, map);
    fail("serve");
}

int main(int argc, char **argv)
{
    modbus_mapping_t *map = modbus_mapping_new(REGISTERS, REGISTERS, REGISTERS, REGISTERS);

    signal(SIGPIPE, SIG_IGN);
    if (argc < 3 || map == NULL)
        return 2;
    if (argc > 3)
        load_image(argv[3]);
    if (strcmp(argv[1], "tcp") == 0)
        serve_tcp(map);
    else
        serve_rtu(map, atoi(argv[2]));
    return 0;
}

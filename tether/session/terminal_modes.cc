#include "tether/session/terminal_modes.h"

#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>

namespace tether {
namespace {

constexpr uint8_t kFirstUnknown = 160;  // what follows has no length that we know
constexpr uint32_t kNoCharacter = 255;

struct Character {
  uint8_t opcode;
  uint8_t index;
};
constexpr std::array<Character, 14> kCharacters = {{{1, VINTR},
                                                    {2, VQUIT},
                                                    {3, VERASE},
                                                    {4, VKILL},
                                                    {5, VEOF},
                                                    {6, VEOL},
                                                    {7, VEOL2},
                                                    {8, VSTART},
                                                    {9, VSTOP},
                                                    {10, VSUSP},
                                                    {12, VREPRINT},
                                                    {13, VWERASE},
                                                    {14, VLNEXT},
                                                    {18, VDISCARD}}};

struct Mode {
  uint8_t opcode;
  tcflag_t termios::*field;
  tcflag_t bit;
};
constexpr auto kInput = &termios::c_iflag;
constexpr auto kLocal = &termios::c_lflag;
constexpr auto kOutput = &termios::c_oflag;
constexpr std::array<Mode, 31> kModes = {
    {{30, kInput, IGNPAR}, {31, kInput, PARMRK}, {32, kInput, INPCK},  {33, kInput, ISTRIP},
     {34, kInput, INLCR},  {35, kInput, IGNCR},  {36, kInput, ICRNL},  {37, kInput, IUCLC},
     {38, kInput, IXON},   {39, kInput, IXANY},  {40, kInput, IXOFF},  {41, kInput, IMAXBEL},
     {42, kInput, IUTF8},  {50, kLocal, ISIG},   {51, kLocal, ICANON}, {52, kLocal, XCASE},
     {53, kLocal, ECHO},   {54, kLocal, ECHOE},  {55, kLocal, ECHOK},  {56, kLocal, ECHONL},
     {57, kLocal, NOFLSH}, {58, kLocal, TOSTOP}, {59, kLocal, IEXTEN}, {60, kLocal, ECHOCTL},
     {61, kLocal, ECHOKE}, {62, kLocal, PENDIN}, {70, kOutput, OPOST}, {71, kOutput, OLCUC},
     {72, kOutput, ONLCR}, {73, kOutput, OCRNL}, {75, kOutput, ONLRET}}};

void set(termios& terminal, uint8_t opcode, uint32_t value) {
  for (const Character& character : kCharacters) {
    if (character.opcode != opcode) continue;
    terminal.c_cc[character.index] =
        value == kNoCharacter ? _POSIX_VDISABLE : static_cast<cc_t>(value);
  }
  for (const Mode& mode : kModes) {
    if (mode.opcode != opcode) continue;
    terminal.*mode.field = (terminal.*mode.field & ~mode.bit) | (value != 0 ? mode.bit : 0);
  }
}

}  // namespace

int set_terminal_modes(int terminal, std::string_view modes) {
  termios wanted{};
  if (::tcgetattr(terminal, &wanted) != 0) return errno;
  while (modes.size() >= 5) {
    const auto opcode = static_cast<uint8_t>(modes.front());
    if (opcode == 0 || opcode >= kFirstUnknown) break;
    uint32_t value = 0;
    for (const char c : modes.substr(1, 4)) value = value << 8U | static_cast<uint8_t>(c);
    set(wanted, opcode, value);
    modes.remove_prefix(5);
  }
  return ::tcsetattr(terminal, TCSANOW, &wanted) == 0 ? 0 : errno;
}

}  // namespace tether

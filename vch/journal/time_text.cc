#include "vch/journal/time_text.h"

#include <array>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <optional>

namespace vch {
namespace {

constexpr int64_t kSecond = 1000000000;

// Takes characters off the front of a text.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}
  bool done() const { return rest_.empty(); }
  bool take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool take(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }
  // Decimal digits: exactly `digits`, or any number of them but none when 0.
  std::optional<int64_t> number(size_t digits = 0) {
    size_t length = 0;
    while (length < rest_.size() && rest_[length] >= '0' && rest_[length] <= '9') ++length;
    if (digits != 0 && length > digits) length = digits;
    if (length == 0 || (digits != 0 && length != digits)) return std::nullopt;
    int64_t value = 0;
    const auto parsed = std::from_chars(rest_.data(), rest_.data() + length, value);
    if (parsed.ec != std::errc()) return std::nullopt;
    rest_.remove_prefix(length);
    return value;
  }
  // The digits behind a point, as billionths; those beyond are dropped.
  std::optional<int64_t> fraction() {
    int64_t value = 0;
    int64_t weight = kSecond;
    size_t length = 0;
    for (; length < rest_.size() && rest_[length] >= '0' && rest_[length] <= '9'; ++length) {
      weight /= 10;
      value += weight * (rest_[length] - '0');
    }
    if (length == 0) return std::nullopt;
    rest_.remove_prefix(length);
    return value;
  }

 private:
  std::string_view rest_;
};

std::optional<int64_t> unit(Scanner& in) {
  for (const auto& [name, ns] :
       std::initializer_list<std::pair<std::string_view, int64_t>>{{"ns", 1},
                                                                   {"us", 1000},
                                                                   {"ms", 1000000},
                                                                   {"s", kSecond},
                                                                   {"m", 60 * kSecond},
                                                                   {"h", 3600 * kSecond}}) {
    if (in.take(name)) return ns;
  }
  return std::nullopt;
}

// Go's durations: numbers with units, one after the other.
std::optional<int64_t> parse_duration(std::string_view text) {
  Scanner in(text);
  const bool negative = in.take('-');
  if (!negative) in.take('+');
  int64_t total = 0;
  if (in.done()) return std::nullopt;
  while (!in.done()) {
    const auto whole = in.number();
    if (!whole) return std::nullopt;
    int64_t part = 0;
    if (in.take('.')) {
      const auto read = in.fraction();
      if (!read) return std::nullopt;
      part = *read;
    }
    const auto ns = unit(in);
    if (!ns) return std::nullopt;
    int64_t value = 0;
    const auto small = static_cast<int64_t>(static_cast<double>(part) / 1e9 * double(*ns));
    if (__builtin_mul_overflow(*whole, *ns, &value) ||
        __builtin_add_overflow(value, small, &value) ||
        __builtin_add_overflow(total, value, &total)) {
      return std::nullopt;
    }
  }
  return negative ? -total : total;
}

std::optional<int64_t> with_fraction(int64_t seconds, int64_t billionths) {
  int64_t ns = 0;
  if (__builtin_mul_overflow(seconds, kSecond, &ns) ||
      __builtin_add_overflow(ns, billionths, &ns)) {
    return std::nullopt;
  }
  return ns;
}

std::optional<int64_t> parse_seconds(std::string_view text) {
  Scanner in(text);
  const auto seconds = in.number();
  int64_t part = 0;
  if (in.take('.')) {
    const auto read = in.fraction();
    if (!read) return std::nullopt;
    part = *read;
  }
  if (!seconds || !in.done()) return std::nullopt;
  return with_fraction(*seconds, part);
}

std::optional<int64_t> zone_offset(Scanner& in) {
  if (in.take('Z')) return 0;
  const bool west = in.take('-');
  if (!west && !in.take('+')) return std::nullopt;
  const auto hours = in.number(2);
  in.take(':');
  const auto minutes = in.number(2);
  if (!hours || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  const int64_t seconds = *hours * 3600 + *minutes * 60;
  return west ? -seconds : seconds;
}

std::optional<int64_t> parse_date(std::string_view text) {
  Scanner in(text);
  const auto year = in.number(4);
  const bool dashed = in.take('-');
  const auto month = in.number(2);
  if (!year || !dashed || !month || !in.take('-')) return std::nullopt;
  const auto day = in.number(2);
  std::optional<int64_t> hour = 0, minute = 0, second = 0, part = 0;
  if (in.take('T')) {
    hour = in.number(2);
    minute = in.take(':') ? in.number(2) : std::optional<int64_t>(0);
    if (in.take(':')) second = in.number(2);
    if (in.take('.')) part = in.fraction();
  }
  if (!day || !hour || !minute || !second || !part) return std::nullopt;
  if (*month < 1 || *month > 12 || *day < 1 || *day > 31) return std::nullopt;
  if (*hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  std::tm parts{};
  parts.tm_year = static_cast<int>(*year - 1900);
  parts.tm_mon = static_cast<int>(*month - 1);
  parts.tm_mday = static_cast<int>(*day);
  parts.tm_hour = static_cast<int>(*hour);
  parts.tm_min = static_cast<int>(*minute);
  parts.tm_sec = static_cast<int>(*second);
  parts.tm_isdst = -1;
  if (in.done()) return with_fraction(::mktime(&parts), *part);
  const auto east = zone_offset(in);
  if (!east || !in.done()) return std::nullopt;
  return with_fraction(::timegm(&parts) - *east, *part);
}

}  // namespace

common::Result<int64_t> parse_time(std::string_view text, int64_t now_ns) {
  if (const auto duration = parse_duration(text)) {
    int64_t time = 0;
    if (!__builtin_sub_overflow(now_ns, *duration, &time)) return time;
  }
  if (const auto seconds = parse_seconds(text)) return *seconds;
  if (const auto date = parse_date(text)) return *date;
  return common::make_error(EINVAL, "time", "'" + std::string(text) + "'",
                            "want 10m, 2025-01-02T15:04:05Z, or seconds since 1970");
}

std::string format_time(int64_t ns) {
  int64_t seconds = ns / kSecond;
  int64_t part = ns % kSecond;
  if (part < 0) {
    part += kSecond;
    --seconds;
  }
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  ::gmtime_r(&time, &parts);
  std::array<char, 64> text{};
  const size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text.data() + size, text.size() - size, ".%09dZ", static_cast<int>(part));
  return text.data();
}

}  // namespace vch

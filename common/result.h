// What an operation gives back: a value, or an Error that names the operation, its object and the
// cause.
#pragma once

#include <boost/system/result.hpp>
#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace common {

// A failure as the person who meets it should read it: "mount /dev/vda: No such device".
// `code` is an errno in std::generic_category unless a library's own category says otherwise.
struct Error {
  std::error_code code;
  std::string operation;  // what was tried, e.g. "open", "mount", "parse"
  std::string object;     // on what, e.g. a path or a field's name
  std::string detail;     // optional: what to do, or which value was found

  // One line: "operation object: cause (detail)". Control characters are escaped.
  std::string message() const;
};

template <typename T>
using Result = boost::system::result<T, Error>;
using Status = Result<void>;

// An Error from the current errno. Call it on the line that failed, before anything else can change
// errno.
Error errno_error(std::string operation, std::string object = {}, std::string detail = {});
// An Error from a given errno value.
Error make_error(int errno_value, std::string operation, std::string object = {},
                 std::string detail = {});

// Escapes everything that is not printable ASCII or well-formed UTF-8, as \xNN, so that text from a
// peer cannot drive a terminal. Newlines and tabs are escaped too.
std::string escape(std::string_view text);

}  // namespace common

namespace common {
// Called by boost::system::result, found by argument-dependent lookup, when .value() meets a
// failure: a bug of ours.
BOOST_NORETURN inline void throw_exception_from_error(const Error& error,
                                                      const boost::source_location&) {
  throw std::system_error(error.code, error.message());
}
}  // namespace common

// TRY(x): the value of a Result, or return its error from the enclosing function.
#define TETHER_CONCAT_(a, b) a##b
#define TETHER_CONCAT(a, b) TETHER_CONCAT_(a, b)
#define TETHER_TRY_(tmp, decl, expr)       \
  auto&& tmp = (expr);                     \
  if (tmp.has_error()) return tmp.error(); \
  decl = std::move(*tmp)
// ASSIGN_OR_RETURN(auto fd, open_file(path));
#define ASSIGN_OR_RETURN(decl, expr) TETHER_TRY_(TETHER_CONCAT(try_, __COUNTER__), decl, expr)
// RETURN_IF_ERROR(write_all(fd, bytes));
#define RETURN_IF_ERROR(expr)                        \
  do {                                               \
    auto&& status_ = (expr);                         \
    if (status_.has_error()) return status_.error(); \
  } while (false)

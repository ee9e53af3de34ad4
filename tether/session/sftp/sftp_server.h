// The requests of one SFTP client, and their answers. Which there are: sftp.h.
#pragma once

#include <array>
#include <cerrno>
#include <string>
#include <string_view>

#include "tether/session/sftp/sftp_files.h"

namespace tether {

class SftpServer {
 public:
  static constexpr uint32_t kMaxPacket = 256 * 1024;
  static constexpr uint32_t kMaxRead = kMaxPacket - 1024;
  static constexpr uint32_t kMaxHandles = 256;

  // `draft_symlinks`: the client names the link first in SYMLINK, as the draft has it, and what it
  // leads to then; else the other way round, as OpenSSH's server takes it.
  explicit SftpServer(bool draft_symlinks = false) : draft_symlinks_(draft_symlinks) {}
  // A whole packet, without its length. False: the client makes no sense.
  bool on_packet(std::string_view packet);
  // The answers so far, to be taken.
  std::string& output() { return out_; }

 private:
  enum Type : uint8_t {
    kInit = 1,
    kVersion = 2,
    kOpen = 3,
    kClose = 4,
    kRead = 5,
    kWrite = 6,
    kLstat = 7,
    kFstat = 8,
    kSetstat = 9,
    kFsetstat = 10,
    kOpendir = 11,
    kReaddir = 12,
    kRemove = 13,
    kMkdir = 14,
    kRmdir = 15,
    kRealpath = 16,
    kStat = 17,
    kRename = 18,
    kReadlink = 19,
    kSymlink = 20,
    kStatus = 101,
    kHandle = 102,
    kData = 103,
    kName = 104,
    kAttributes = 105,
    kExtended = 200,
    kExtendedReply = 201,
  };

  void send(SftpWriter& body);
  void status(SftpStatus what, std::string_view why);
  void done(int errno_value);
  // What the syscall gave: 0, or -1 with errno.
  void done_call(int result) { done(result == 0 ? 0 : errno); }
  // Of a request that names a path and nothing else.
  void call(SftpReader& in, int (*what)(const char*));
  void attributes(int result, const struct stat& about);
  SftpFile* find(std::string_view handle);
  void add(SftpFile file);
  void open(SftpReader& in);
  void close(SftpReader& in);
  void read(SftpReader& in);
  void write(SftpReader& in);
  void stat(SftpReader& in, bool follow);
  void fstat(SftpReader& in);
  void set_attributes(SftpReader& in);
  void set_file_attributes(SftpReader& in);
  void open_directory(SftpReader& in);
  void read_directory(SftpReader& in);
  void make_directory(SftpReader& in);
  void real_path(SftpReader& in);
  void rename(SftpReader& in);
  void read_link(SftpReader& in);
  void symlink(SftpReader& in);
  void extended(SftpReader& in);
  void statvfs(SftpReader& in);
  void limits();
  void name(const std::string& path);
  bool dispatch(Type type, SftpReader& in);

  const bool draft_symlinks_;
  std::string out_;
  uint32_t id_ = 0;
  std::array<SftpFile, kMaxHandles> files_;
};

}  // namespace tether

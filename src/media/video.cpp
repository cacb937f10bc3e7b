// Clips out of files, through ffprobe and ffmpeg as child processes.
//
//   bytes → memory file ─┬─ ffprobe: size, rotation, every packet's time
//                        │           → frames in all, rate → sample_frames
//                        └─ ffmpeg:  select the sampled numbers, RGB
//                                    → pipe → one frame at a time → sink
//
// The children open the file as /dev/fd/3 and may use the `file` and `pipe` protocols and the
// container formats below, none of which names other files (playlists, concat scripts and image
// patterns are not among them).
#include "media/video.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "base/log.h"
#include "media/child_process.h"

namespace godwit::media {
namespace {

constexpr const char* kContainers =
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,gif,ogg,asf,ivf,h264,hevc,"
    "obu,m4v,mjpeg,mxf,nut,apng";
constexpr size_t kChildMemory = size_t{16} << 30;  // address space, threads' stacks included

// The child's /dev/fd/3: bytes without a name, gone when closed.
class MemoryFile {
 public:
  static Result<MemoryFile> create(std::string_view bytes) {
    MemoryFile file;
    file.fd_ = ::memfd_create("clip", MFD_CLOEXEC);
    if (file.fd_ < 0) file.fd_ = ::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file.fd_ < 0) return failed("cannot make a file in memory: {}", std::strerror(errno));
    while (!bytes.empty()) {
      const ssize_t n = ::write(file.fd_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return failed("cannot write a file in memory: {}", std::strerror(errno));
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return file;
  }
  MemoryFile() = default;
  MemoryFile(MemoryFile&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  MemoryFile& operator=(MemoryFile&&) = delete;
  ~MemoryFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
};

struct VideoFacts {
  Size size{0, 0};  // upright
  int frames = 0;
  double fps = 0;                  // 0: unknown
  double end = 0, stated_end = 0;  // seconds: of the last packet; of the container, 0: not stated
  std::string complaint;           // ffprobe's, about what it read all the same
};

// What ffprobe prints in its compact form, a line a packet, one for the stream and one for the
// file:
//   packet|pts=512|dts=0|duration=512|flags=K_
//   stream|width=128|height=96|avg_frame_rate=25/1|time_base=1/12800|duration=N/A|nb_read_frames=30|side_data|rotation=-90
//   format|nb_streams=1|duration=1.200000
class ProbeReader {
 public:
  Status add(std::string_view piece) {
    rest_.append(piece);
    size_t from = 0;
    for (size_t end; (end = rest_.find('\n', from)) != std::string::npos; from = end + 1) {
      TRY_STATUS(take_line(std::string_view(rest_).substr(from, end - from)));
    }
    rest_.erase(0, from);
    if (rest_.size() > kLongestLine)
      return bad_input("expected lines of facts, found {} bytes", rest_.size());
    return {};
  }

  // As torchcodec: frames are packets, the rate is their number over the time from first to last.
  Result<VideoFacts> finish() const {
    if (stream_.width <= 0 || stream_.height <= 0)
      return bad_input("expected a video, found no picture stream");
    VideoFacts facts;
    facts.size = {stream_.height, stream_.width};
    if (std::lround(stream_.rotation / 90) % 2 != 0) std::swap(facts.size.height, facts.size.width);
    facts.frames = counted_ > 0 ? counted_ : packets_;
    if (facts.frames == 0) return bad_input("expected a video with frames, found none");
    const double seconds =
        end_ > begin_ ? (static_cast<double>(end_) - begin_) * stream_.time_base : 0;
    facts.fps = seconds > 0 ? packets_ / seconds : stream_.average_rate;
    if (!std::isfinite(facts.fps) || facts.fps < 0) facts.fps = 0;
    if (seconds > 0) facts.end = static_cast<double>(end_) * stream_.time_base;
    // That of the whole file may be its sound's.
    const double of_file = streams_in_file_ == 1 ? file_duration_ : 0;
    facts.stated_end = stream_.duration > 0 ? stream_.duration : of_file;
    return facts;
  }

 private:
  static constexpr size_t kLongestLine = 1 << 16;
  static constexpr int kMostPackets = 20'000'000;

  static double ratio(std::string_view text) {
    double top = 0, bottom = 0;
    const auto slash = std::from_chars(text.data(), text.data() + text.size(), top);
    if (slash.ec != std::errc() || slash.ptr == text.data() + text.size()) return 0;
    std::from_chars(slash.ptr + 1, text.data() + text.size(), bottom);
    return bottom > 0 ? top / bottom : 0;
  }
  template <class T>
  static std::optional<T> number(std::string_view text) {  // none for "N/A"
    T value;
    if (std::from_chars(text.data(), text.data() + text.size(), value).ec != std::errc())
      return std::nullopt;
    return value;
  }

  template <class Each>
  static void each_field(std::string_view line, Each each) {
    while (!line.empty()) {
      const std::string_view field = line.substr(0, line.find('|'));
      line.remove_prefix(std::min(line.size(), field.size() + 1));
      const size_t equals = field.find('=');
      if (equals != std::string_view::npos) each(field.substr(0, equals), field.substr(equals + 1));
    }
  }

  Status take_line(std::string_view line) {
    if (line.substr(0, 7) == "packet|") return take_packet(line);
    if (line.substr(0, 7) == "format|") {
      each_field(line, [&](std::string_view key, std::string_view value) {
        if (key == "nb_streams") streams_in_file_ = number<int>(value).value_or(0);
        if (key == "duration") file_duration_ = number<double>(value).value_or(0);
      });
    }
    if (line.substr(0, 7) != "stream|") return {};
    each_field(line, [&](std::string_view key, std::string_view value) {
      if (key == "width") stream_.width = number<int>(value).value_or(0);
      if (key == "height") stream_.height = number<int>(value).value_or(0);
      if (key == "time_base") stream_.time_base = ratio(value);
      if (key == "avg_frame_rate") stream_.average_rate = ratio(value);
      if (key == "duration") stream_.duration = number<double>(value).value_or(0);
      if (key == "rotation") stream_.rotation = number<double>(value).value_or(0);
      if (key == "nb_read_frames") counted_ = number<int>(value).value_or(0);
    });
    return {};
  }

  Status take_packet(std::string_view line) {
    std::optional<int64_t> pts, dts;
    int64_t duration = 0;
    bool discarded = false;
    each_field(line, [&](std::string_view key, std::string_view value) {
      if (key == "pts") pts = number<int64_t>(value);
      if (key == "dts") dts = number<int64_t>(value);
      if (key == "duration") duration = number<int64_t>(value).value_or(0);
      if (key == "flags") discarded = value.find('D') != std::string_view::npos;
    });
    if (discarded) return {};
    if (++packets_ > kMostPackets)
      return bad_input("expected at most {} frames, found more", kMostPackets);
    if (!pts) pts = dts;
    if (!pts) return {};
    begin_ = std::min(begin_, *pts);
    int64_t end;
    if (!__builtin_add_overflow(*pts, duration, &end)) end_ = std::max(end_, end);
    return {};
  }

  std::string rest_;
  struct {
    int width = 0, height = 0;
    double time_base = 0, average_rate = 0, duration = 0, rotation = 0;
  } stream_;
  double file_duration_ = 0;
  int streams_in_file_ = 0;
  int packets_ = 0, counted_ = 0;
  int64_t begin_ = std::numeric_limits<int64_t>::max(), end_ = std::numeric_limits<int64_t>::min();
};

std::vector<std::string> command_of(const char* program, const VideoLimits& limits,
                                    std::initializer_list<std::string> rest) {
  std::vector<std::string> command = {program,
                                      "-v",
                                      "error",
                                      "-hide_banner",
                                      "-protocol_whitelist",
                                      "file,pipe",
                                      "-format_whitelist",
                                      kContainers,
                                      "-max_pixels",
                                      std::to_string(limits.max_pixels_per_frame)};
  command.insert(command.end(), rest);
  return command;
}

// A file under work; the time limit is for all its children together.
struct Job {
  MemoryFile file;
  VideoLimits limits;
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();

  ChildOptions child_options() const {
    const auto spent =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() - start);
    return {.input_fd = file.fd(),
            .seconds = std::max(1, limits.max_seconds_of_work - static_cast<int>(spent.count())),
            .max_memory = kChildMemory,
            .cancelled = limits.cancelled};
  }
};

// A complaint without the place in the child's memory ("[mov @ 0x55d0] moov atom not found") or the
// name that the file has there ("/dev/fd/3: Invalid data found …").
std::string_view plain(std::string_view complaint) {
  constexpr std::string_view kName = "/dev/fd/3: ";
  if (complaint.starts_with(kName)) complaint.remove_prefix(kName.size());
  if (const size_t end = complaint.find("] "); complaint.starts_with('[') && end != complaint.npos)
    complaint.remove_prefix(end + 2);
  return complaint;
}

std::string what_was_found(std::string_view complaint) {
  if (complaint.find("not on whitelist") != std::string_view::npos) return "another kind of file";
  return complaint.empty() ? "that ffprobe ends without a word"
                           : fmt::format("what ffprobe calls: {}", plain(complaint));
}

// How the number of frames is found: from the packets, or by decoding all (slow, but what the
// decoder will deliver).
enum class Counting { kPackets, kFrames };

Result<VideoFacts> probe(const Job& job, Counting counting) {
  const VideoLimits& limits = job.limits;
  ProbeReader reader;
  const std::string entries = fmt::format(
      "format=duration,nb_streams:stream=width,height,avg_frame_rate,time_base,duration{}:stream_"
      "side_data="
      "rotation:packet=pts,dts,duration,flags",
      counting == Counting::kFrames ? ",nb_read_frames" : "");
  std::vector<std::string> command = command_of(
      "ffprobe", limits, {"-select_streams", "V:0", "-show_entries", entries, "-of", "compact"});
  if (counting == Counting::kFrames) command.push_back("-count_frames");
  command.insert(command.end(), {"-i", "/dev/fd/3"});
  TRY(const ChildResult result,
      run_child(command, job.child_options(),
                [&](std::string_view piece) { return reader.add(piece); }));
  if (result.exit_code != 0) {
    return bad_input("expected a video (MP4, MOV, MKV, WebM, AVI, MPEG, FLV, OGG or GIF), found {}",
                     what_was_found(result.first_error));
  }
  TRY(VideoFacts facts, reader.finish());
  facts.complaint = plain(result.first_error);
  if (facts.size.height > limits.max_pixels_per_frame / facts.size.width) {
    return bad_input("expected at most {} pixels a frame, found {} x {}",
                     limits.max_pixels_per_frame, facts.size.width, facts.size.height);
  }
  return facts;
}

// Non-zero where n is one of indices[begin, end): a decision tree, so that hundreds of frames are
// found in ten steps.
std::string select_expression(const std::vector<int>& indices, size_t begin, size_t end) {
  if (end - begin == 1) return fmt::format("eq(n,{})", indices[begin]);
  const size_t middle = (begin + end) / 2;
  return fmt::format("if(lt(n,{}),{},{})", indices[middle],
                     select_expression(indices, begin, middle),
                     select_expression(indices, middle, end));
}

using FrameSink = FunctionRef<void(Picture)>;

struct Decoded {
  int frames = 0;         // that came, at most as many as were wanted
  std::string complaint;  // ffmpeg's, about what it decoded all the same
};

// Decodes the sampled frames and gives them to the sink in order.
Result<Decoded> decode_frames(const Job& job, const VideoFacts& facts,
                              const std::vector<int>& indices, FrameSink sink) {
  // Scaling to its own size does nothing but keep the size if it changes on the way.
  const std::string filters = fmt::format("select='{}',scale={}:{}:flags=bilinear,format=rgb24",
                                          select_expression(indices, 0, indices.size()),
                                          facts.size.width, facts.size.height);
  const std::vector<std::string> command = command_of(
      "ffmpeg", job.limits,
      {"-nostdin", "-i", "/dev/fd/3", "-map", "0:V:0", "-vf", filters, "-fps_mode", "passthrough",
       "-frames:v", std::to_string(indices.size()), "-f", "rawvideo", "pipe:1"});
  const size_t frame_bytes = size_t(facts.size.width) * facts.size.height * 3;
  Picture frame{facts.size.width, facts.size.height, {}};
  int done = 0;
  const auto on_output = [&](std::string_view piece) -> Status {
    while (!piece.empty() && done < static_cast<int>(indices.size())) {
      const std::string_view part = piece.substr(0, frame_bytes - frame.rgb.size());
      frame.rgb.reserve(frame_bytes);
      frame.rgb.insert(frame.rgb.end(), part.begin(), part.end());
      piece.remove_prefix(part.size());
      if (frame.rgb.size() < frame_bytes) continue;
      sink(std::move(frame));
      frame = Picture{facts.size.width, facts.size.height, {}};
      ++done;
    }
    return {};
  };
  TRY(const ChildResult result, run_child(command, job.child_options(), on_output));
  if (result.exit_code != 0) return bad_input("ffmpeg: {}", result.first_error);
  return Decoded{done, std::string(plain(result.first_error))};
}

// A clip that has frames is looked at even if it is cut short or damaged, but not without a word.
void warn_of_damage(std::string_view name, const VideoFacts& facts, const std::string& complaint) {
  constexpr double kMissing = 0.1;  // of the whole: sound may go on for a moment without pictures
  if (facts.end > 0 && facts.end < (1 - kMissing) * facts.stated_end) {
    log_warn("{}: expected {:.1f} seconds of pictures, found {:.1f}: is the file cut short?", name,
             facts.stated_end, facts.end);
  } else if (!complaint.empty()) {
    log_warn("{}: the video is damaged: {}", name, complaint);
  }
}

// Where frames go once their number and size are known.
class FrameReceiver {
 public:
  virtual ~FrameReceiver() = default;
  virtual Status begin(const VideoFacts& facts, const std::vector<int>& indices) = 0;
  virtual void add(Picture frame) = 0;
};

Status receive_frames(std::string_view bytes, std::string_view name, const VideoSampling& sampling,
                      const VideoLimits& limits, FrameReceiver& receiver) {
  if (bytes.size() > limits.max_bytes) {
    return bad_input("expected at most {} bytes, found {}", limits.max_bytes, bytes.size());
  }
  TRY(MemoryFile file, MemoryFile::create(bytes));
  const Job job{std::move(file), limits};
  // Packets and frames differ in number in damaged or odd streams: then frames are counted, and all
  // is done again.
  for (const Counting counting : {Counting::kPackets, Counting::kFrames}) {
    TRY(const VideoFacts facts, probe(job, counting));
    const std::vector<int> indices = sample_frames(facts.frames, facts.fps, sampling);
    TRY_STATUS(receiver.begin(facts, indices));
    TRY(const Decoded decoded,
        decode_frames(job, facts, indices, [&](Picture frame) { receiver.add(std::move(frame)); }));
    if (decoded.frames < static_cast<int>(indices.size())) continue;
    warn_of_damage(name, facts, facts.complaint.empty() ? decoded.complaint : facts.complaint);
    return {};
  }
  return bad_input("the video is damaged: some of its frames cannot be decoded");
}

class ClipReceiver : public FrameReceiver {
 public:
  explicit ClipReceiver(int64_t max_pixels) : max_pixels_(max_pixels) {}
  Status begin(const VideoFacts& facts, const std::vector<int>& indices) override {
    const int64_t pixels =
        int64_t{facts.size.width} * facts.size.height * static_cast<int64_t>(indices.size());
    if (pixels > max_pixels_) {
      return bad_input("expected at most {} pixels over all frames, found {} frames of {} x {}",
                       max_pixels_, indices.size(), facts.size.width, facts.size.height);
    }
    clip = {{}, indices, facts.fps};
    return {};
  }
  void add(Picture frame) override { clip.frames.push_back(std::move(frame)); }
  Clip clip;

 private:
  int64_t max_pixels_;
};

class PatchReceiver : public FrameReceiver {
 public:
  PatchReceiver(PixelLimits limits, const PatchGeometry& geometry)
      : limits_(limits), geometry_(geometry) {}
  Status begin(const VideoFacts& facts, const std::vector<int>& indices) override {
    TRY(auto patcher, ClipPatcher::create(indices, facts.fps, facts.size, limits_, geometry_));
    patcher_.emplace(std::move(patcher));
    return {};
  }
  void add(Picture frame) override { patcher_->add(frame); }
  PatchedMedia finish() { return patcher_->finish(); }

 private:
  PixelLimits limits_;
  PatchGeometry geometry_;
  std::optional<ClipPatcher> patcher_;
};

}  // namespace

Result<Clip> decode_video(std::string_view bytes, std::string_view name,
                          const VideoSampling& sampling, const VideoLimits& limits) {
  ClipReceiver receiver(limits.max_total_pixels);
  if (auto status = receive_frames(bytes, name, sampling, limits, receiver); !status) {
    return in_context(name, std::move(status.error()));
  }
  return std::move(receiver.clip);
}

Result<PatchedMedia> patches_from_video(std::string_view bytes, std::string_view name,
                                        PixelLimits pixel_limits, const VideoSampling& sampling,
                                        const VideoLimits& limits, const PatchGeometry& geometry) {
  PatchReceiver receiver(pixel_limits, geometry);
  if (auto status = receive_frames(bytes, name, sampling, limits, receiver); !status) {
    return in_context(name, std::move(status.error()));
  }
  return receiver.finish();
}

Result<Clip> clip_from_frames(std::vector<Picture> frames, double fps,
                              const VideoSampling& sampling) {
  if (frames.empty()) return bad_input("expected a clip with frames, found none");
  for (size_t i = 1; i < frames.size(); ++i) {
    if (frames[i].width != frames[0].width || frames[i].height != frames[0].height) {
      return bad_input("expected all frames to be {} x {}, found {} x {} in frame {}",
                       frames[0].width, frames[0].height, frames[i].width, frames[i].height, i);
    }
  }
  Clip clip;
  clip.source_fps = fps;
  clip.frame_indices = sample_frames(static_cast<int>(frames.size()), fps, sampling);
  for (const int index : clip.frame_indices) clip.frames.push_back(frames[index]);
  return clip;
}

}  // namespace godwit::media

// The date in the comments of iptables-save, for the caller that has a clock: the engine itself is
// handed the text.

import Glibc

public enum SystemDate {
    /// Local time as `ctime` prints it, without the line's end: `Sat Nov 21 02:32:44 2026`.
    public static func text(secondsSince1970 seconds: Int) -> String {
        var seconds = time_t(seconds)
        var parts = unsafe tm()
        guard unsafe localtime_r(&seconds, &parts) != nil else { return "an unknown date" }
        let days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"]
        let months = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ]
        func two(_ number: Int32, _ blank: String = "0") -> String {
            (number < 10 ? blank : "") + String(number)
        }
        let day = unsafe "\(days[Int(parts.tm_wday)]) \(months[Int(parts.tm_mon)]) "
        let date = unsafe two(parts.tm_mday, " ")
        let clock = unsafe "\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))"
        return unsafe day + date + " " + clock + " \(parts.tm_year + 1900)"
    }

    public static func now() -> String {
        text(secondsSince1970: Int(time(nil)))
    }
}

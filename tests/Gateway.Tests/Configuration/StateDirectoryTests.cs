using Gateway.Configuration;

namespace Gateway.Tests.Configuration;

public sealed class StateDirectoryTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("gws").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void It_is_created_with_a_private_run_directory_and_left_clean()
    {
        string directory = Path.Combine(_folder, "a/b");
        Assert.Null(StateDirectory.Prepare(directory, "--state"));
        Assert.Null(StateDirectory.Prepare(directory, "--state"));
        Assert.Equal(
            UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute,
            File.GetUnixFileMode(Path.Combine(directory, "run")));
        Assert.Equal([Path.Combine(directory, "run")], Directory.GetFileSystemEntries(directory, "*", SearchOption.AllDirectories));
    }

    [Fact]
    public void A_run_directory_that_is_open_to_others_is_closed()
    {
        Directory.CreateDirectory(
            Path.Combine(_folder, "run"), UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.OtherExecute);
        Assert.Null(StateDirectory.Prepare(_folder, "--state"));
        Assert.False(File.GetUnixFileMode(Path.Combine(_folder, "run")).HasFlag(UnixFileMode.OtherExecute));
    }

    [Fact]
    public void A_place_that_cannot_be_written_is_refused_with_what_to_do()
    {
        string file = Path.Combine(_folder, "file");
        File.WriteAllText(file, "");
        string user = Environment.UserName;
        Assert.Equal(
            $"g.yaml:1:2: error: stateDirectory: '{file}' cannot be written by user {user}: it is a file, not a directory; create it for that user "
            + $"(install -d -o {user} {file}), or name another one with --state DIR, GATEWAY__STATEDIRECTORY or stateDirectory",
            StateDirectory.Prepare(file, "g.yaml:1:2")!.ToString());
        Assert.Contains("cannot be written by user", StateDirectory.Prepare("/proc/gateway", "--state")!.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_path_too_long_for_a_socket_is_refused_with_advice()
    {
        string fits = "/" + new string('x', 72);
        Assert.Null(StateDirectory.PathProblem(fits));
        Assert.Null(StateDirectory.PathProblem(fits + "/"));
        Assert.Equal(
            $"the socket '{fits}y/run/gateway.sock' would have a path of 91 bytes, and 90 are allowed; "
            + "name a directory of at most 73 bytes, like /var/lib/gateway, or a symbolic link to this one",
            StateDirectory.PathProblem(fits + "y"));
        Assert.StartsWith(
            "g.yaml:1:17: error: stateDirectory: the socket '",
            Assert.Single(ConfigurationTesting.Findings($"stateDirectory: {fits}y")),
            StringComparison.Ordinal);
    }
}

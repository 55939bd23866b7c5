using System.Runtime.InteropServices;
using System.Runtime.Versioning;

[assembly: SupportedOSPlatform("linux")]

namespace Gateway.BlackBoxTests.Harness;

/// <summary>Where things are: found from where the tests lie, never written down.</summary>
internal static class Repository
{
    /// <summary>The folder of Gateway.sln.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>The folder of the fixtures.</summary>
    public static string Fixtures => Path.Combine(Root, "tests", "fixtures");

    /// <summary>Debug or Release, as these tests were built: .../bin/Release/net10.0/.</summary>
    public static string Configuration { get; } = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd('/')).Parent!.Name;

    /// <summary>The built program: <c>GATEWAY_BINARY</c>, else the one built beside these tests, same configuration.</summary>
    public static string GatewayBinary { get; } =
        Environment.GetEnvironmentVariable("GATEWAY_BINARY") is { Length: > 0 } named
            ? named
            : Path.Combine(Root, "src", "Gateway.Cli", "bin", Configuration, "net10.0", "gateway");

    /// <summary>What the program's launcher needs to find a .NET that is not in its usual place.</summary>
    public static string DotnetRoot { get; } =
        Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", ".."));

    /// <summary>The full path of a program on PATH, or null.</summary>
    public static string? Which(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':')
            .Concat(["/usr/sbin", "/sbin"])
            .Select(folder => Path.Combine(folder, program))
            .FirstOrDefault(File.Exists);

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Gateway.sln")))
            {
                return folder.FullName;
            }
        }

        throw new InvalidOperationException($"No Gateway.sln above {AppContext.BaseDirectory}.");
    }
}

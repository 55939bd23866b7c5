using Gateway.BlackBoxTests.Harness;

namespace Gateway.BlackBoxTests.Commands;

/// <summary>SPEC §2. Goal: <c>gateway dev</c> obeys <c>GATEWAY__*</c> variables like every gateway. Method: its admin address is moved.</summary>
public sealed class DevVariablesTests
{
    [Fact]
    public async Task An_admin_address_that_a_variable_names_is_used()
    {
        string folder = Directory.CreateTempSubdirectory("gwt-").FullName;
        int admin = Ports.Any();
        using ChildProcess dev = GatewayProcess.Begin(
            ["dev", "--state", folder],
            new Dictionary<string, string?> { ["GATEWAY__ADMIN__LISTEN"] = $"127.0.0.1:{admin}" });
        await Eventually.True(
            async () => await Wire.Accepts(admin) && (await Wire.Get(admin, "/readyz")).Status == 200, "the admin address answers", now: () => dev.Tail(40));
        Assert.True(dev.Send(Signal.Interrupt));
        Assert.Equal(0, await dev.WaitForExit(10));
        Directory.Delete(folder, recursive: true);
    }
}
